rule prepare:
    input:
        CATALOGUES,
        lambda w: JOBS.prepared(),


rule prepare_stimulus:
    input:
        lambda w: JOBS.with_stimulus(w.dataset, w.stimulus_key, w.stimulus).dataset.receipt_path,
    output:
        directory("data/prepared/{dataset}/{stimulus_key}/stimuli/{stimulus}.zarr"),
    params:
        flags=lambda w, output: JOBS.flags("prepare", JOBS.with_stimulus(w.dataset, w.stimulus_key, w.stimulus)),
    log:
        "logs/prepare/{dataset}-{stimulus_key}.{stimulus}.log",
    benchmark:
        "logs/prepare/{dataset}-{stimulus_key}.{stimulus}.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("prepare_stimulus"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline prepare {params.flags:q} --stimulus {wildcards.stimulus:q} --threads 1 --log {log:q}"


rule prepare_recording:
    input:
        lambda w: JOBS.with_recording(w.dataset, w.prep_key, w.recording).dataset.receipt_path,
    output:
        "data/prepared/{dataset}/{prep_key}/recordings/{recording}.nc",
    params:
        flags=lambda w, output: JOBS.flags("prepare", JOBS.with_recording(w.dataset, w.prep_key, w.recording)),
    log:
        "logs/prepare/{dataset}-{prep_key}.{recording}.log",
    benchmark:
        "logs/prepare/{dataset}-{prep_key}.{recording}.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("prepare_recording"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline prepare {params.flags:q} --recording {wildcards.recording:q} --threads 1 --log {log:q}"
