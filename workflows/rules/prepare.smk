rule prepare:
    input:
        CATALOGUES,
        lambda w: [path for analysis in ANALYSES.values() for path in prepared_of(analysis)],


def receipt_for(wildcards):
    return BY_PREP_KEY[wildcards.prep_key].dataset.receipt_path


rule prepare_stimulus:
    input:
        receipt_for,
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
        "{PYTHON} prepare {params.flags} --stimulus '{wildcards.stimulus}' --threads 1 --log {log}"


rule prepare_recording:
    input:
        receipt_for,
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
        "{PYTHON} prepare {params.flags} --recording '{wildcards.recording}' --threads 1 --log {log}"
