rule compare:
    input:
        CATALOGUES,
        lambda w: JOBS.scores("compare"),


rule compare_group:
    input:
        lambda w: JOBS.score_files(w.study, w.analysis, w.group, w.model),
    output:
        "data/scores/{study}/{analysis}/{group}/{model}.nc",
    wildcard_constraints:
        analysis=JOBS.names_scored_by("compare"),
    params:
        flags=lambda w, output: JOBS.flags("compare", JOBS.analyses[w.study, w.analysis]),
        key=lambda w: JOBS.score_key(w.study, w.analysis, w.model),
    log:
        "logs/compare/{study}.{analysis}.{group}.{model}.log",
    benchmark:
        "logs/compare/{study}.{analysis}.{group}.{model}.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("compare_group"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline compare {params.flags:q} --group {wildcards.group:q} --model {wildcards.model:q} --threads 1 --log {log:q}"
