rule prepare:
    input:
        CATALOGUES,
        lambda w: [path for analysis in ANALYSES.values() for path in prepared_of(analysis)],


rule prepare_stimulus:
    input:
        lambda w: prepares_stimulus(w).dataset.receipt_path,
    output:
        directory("data/prepared/{dataset}/{stimulus_key}/stimuli/{stimulus}.zarr"),
    params:
        flags=lambda w, output: flags_of(prepares_stimulus(w)),
    log:
        "logs/prepare/{dataset}-{stimulus_key}.{stimulus}.log",
    benchmark:
        "logs/prepare/{dataset}-{stimulus_key}.{stimulus}.benchmark.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline prepare {params.flags:q} --stimulus {wildcards.stimulus:q} --threads 1 --log {log:q}"


rule prepare_recording:
    input:
        lambda w: prepares_recording(w).dataset.receipt_path,
    output:
        "data/prepared/{dataset}/{prep_key}/recordings/{recording}.nc",
    params:
        flags=lambda w, output: flags_of(prepares_recording(w)),
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
        "python -m pipeline prepare {params.flags:q} --recording {wildcards.recording:q} --threads 1 --log {log:q}"
