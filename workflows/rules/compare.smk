rule compare:
    input:
        CATALOGUES,
        lambda w: [path for a in ANALYSES.values() if a.stage == "compare" for path in scores_of(a)],


rule compare_group:
    input:
        lambda w: score_inputs(w),
    output:
        "data/scores/{study}/{analysis}/{group}/{model}.nc",
    wildcard_constraints:
        analysis=one_of(name for (_, name), a in ANALYSES.items() if a.stage == "compare"),
    params:
        flags=lambda w, output: flags_of(ANALYSES[w.study, w.analysis]),
        key=lambda w: ANALYSES[w.study, w.analysis].score_key(SHUFFLE_SEEDS[w.study]),
    log:
        "logs/compare/{study}.{analysis}.{group}.{model}.log",
    benchmark:
        "logs/compare/{study}.{analysis}.{group}.{model}.benchmark.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline compare {params.flags:q} --group {wildcards.group:q} --model {wildcards.model:q} --threads 1 --log {log:q}"
