rule identify:
    input:
        CATALOGUES,
        lambda w: JOBS.identifiability(),


rule identify_group:
    input:
        lambda w: JOBS.identifiability_files(w.study, w.analysis, w.group),
    output:
        "data/identifiability/{study}/{analysis}/{group}.nc",
    params:
        flags=lambda w, output: JOBS.flags("identify", JOBS.analyses[w.study, w.analysis]),
        key=lambda w: JOBS.identifiability_key(w.study, w.analysis),
    log:
        "logs/identify/{study}.{analysis}.{group}.log",
    benchmark:
        "logs/identify/{study}.{analysis}.{group}.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("identify_group"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline identify {params.flags:q} --group {wildcards.group:q} --threads {threads:q} --log {log:q}"
