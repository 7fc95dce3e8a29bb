rule encode:
    input:
        CATALOGUES,
        lambda w: JOBS.scores("encode"),


rule encode_group:
    input:
        lambda w: JOBS.score_files(w.study, w.analysis, w.group, w.model),
    output:
        "data/scores/{study}/{analysis}/{group}/{model}.nc",
    wildcard_constraints:
        analysis=JOBS.names_scored_by("encode"),
    params:
        flags=lambda w, output: JOBS.flags("encode", JOBS.analyses[w.study, w.analysis]),
        key=lambda w: JOBS.score_key(w.study, w.analysis, w.model),
    log:
        "logs/encode/{study}.{analysis}.{group}.{model}.log",
    benchmark:
        "logs/encode/{study}.{analysis}.{group}.{model}.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("encode_group"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline encode {params.flags:q} --group {wildcards.group:q} --model {wildcards.model:q} --threads {threads:q} --log {log:q}"
