rule map:
    input:
        CATALOGUES,
        JOBS.maps,


rule map_study:
    input:
        lambda w: JOBS.study_scores(w.study),
        lambda w: JOBS.study_identifiability(w.study),
    output:
        map_files(paths.map_of("{study}")),
    params:
        flags=lambda w, output: JOBS.study_flags("map", w.study),
        key=lambda w: JOBS.plans[w.study].map_key(),
    log:
        "logs/map/{study}.log",
    benchmark:
        "logs/map/{study}.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("map_study"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline map {params.flags:q} --threads 1 --log {log:q}"
