rule prepare:
    input:
        CATALOGUES,
        lambda w: [path for analysis in ANALYSES.values() for path in prepared_of(analysis)],


rule prepare_stimulus:
    input:
        lambda w: BY_PREP_KEY[w.prep_key].dataset.receipt_path,
    output:
        directory("data/prepared/{dataset}/{prep_key}/stimuli/{stimulus}.zarr"),
    params:
        flags=lambda w, output: flags_of(BY_PREP_KEY[w.prep_key]),
    log:
        "logs/prepare/{dataset}-{prep_key}.{stimulus}.log",
    benchmark:
        "logs/prepare/{dataset}-{prep_key}.{stimulus}.benchmark.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline prepare {params.flags} --stimulus '{wildcards.stimulus}' --threads 1 --log {log}"


rule prepare_recording:
    input:
        lambda w: BY_PREP_KEY[w.prep_key].dataset.receipt_path,
    output:
        "data/prepared/{dataset}/{prep_key}/recordings/{recording}.nc",
    params:
        flags=lambda w, output: flags_of(BY_PREP_KEY[w.prep_key]),
    log:
        "logs/prepare/{dataset}-{prep_key}.{recording}.log",
    benchmark:
        "logs/prepare/{dataset}-{prep_key}.{recording}.benchmark.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline prepare {params.flags} --recording '{wildcards.recording}' --threads 1 --log {log}"
