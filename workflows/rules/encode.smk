BUDGET_MB = load_workflow_config(config).memory_budget_mb


rule encode:
    input:
        CATALOGUES,
        lambda w: [path for a in ANALYSES.values() if a.stage == "encode" for path in scores_of(a)],


rule encode_group:
    input:
        lambda w: score_inputs(w),
    output:
        "data/scores/{study}/{analysis}/{group}/{model}.nc",
    wildcard_constraints:
        analysis=one_of(name for (_, name), a in ANALYSES.items() if a.stage == "encode"),
    params:
        flags=lambda w, output: [*flags_of(ANALYSES[w.study, w.analysis]), f"--memory-budget-mb={BUDGET_MB}"],
        key=lambda w: ANALYSES[w.study, w.analysis].score_key(SHUFFLE_SEEDS[w.study]),
    log:
        "logs/encode/{study}.{analysis}.{group}.{model}.log",
    benchmark:
        "logs/encode/{study}.{analysis}.{group}.{model}.benchmark.tsv"
    threads: 1
    resources:
        # the budget with its tolerance, and the program with torch (and CUDA)
        mem_mb=int(1.1 * BUDGET_MB) + 2000,
        runtime=240,
        gpu=int(config.get("device", "auto") == "cuda"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline encode {params.flags:q} --group {wildcards.group:q} --model {wildcards.model:q} --threads {threads:q} --log {log:q}"
