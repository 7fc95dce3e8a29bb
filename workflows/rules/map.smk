PLAN_OF = {plan.name: plan for plan in PLANS}


rule map:
    input:
        CATALOGUES,
        [plan.map_path for plan in PLANS],


rule map_study:
    input:
        lambda w: all_scores(PLAN_OF[w.study]),
    output:
        "data/maps/{study}.nc",
        "data/maps/{study}.csv",
        "data/maps/{study}-summary.csv",
        "data/maps/{study}-contrasts.csv",
        "data/maps/{study}-units.csv",
        "data/maps/{study}-surface.csv",
        "data/maps/{study}-variance.csv",
        "data/maps/{study}.sha256",
    params:
        flags=lambda w, output: FLAGS[w.study],
        key=lambda w: PLAN_OF[w.study].map_key(),
    log:
        "logs/map/{study}.log",
    benchmark:
        "logs/map/{study}.benchmark.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline map {params.flags:q} --threads 1 --log {log:q}"
