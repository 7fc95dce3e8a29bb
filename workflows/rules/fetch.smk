rule fetch:
    input:
        CATALOGUES,
        [analysis.dataset.receipt_path for analysis in ANALYSES.values()],
        [paths.weights_receipt(name) for name in BY_MODEL],


rule fetch_weights:
    output:
        "data/raw/weights/{weights}/receipt.json",
    params:
        flags=lambda w, output: flags_of(BY_MODEL[MODELS_BY_SLUG[w.weights]]),
        model=lambda w, output: MODELS_BY_SLUG[w.weights],
        key=lambda w: weights_key_of(BY_MODEL[MODELS_BY_SLUG[w.weights]].weights[MODELS_BY_SLUG[w.weights]]),
    log:
        "logs/fetch/weights-{weights}.log",
    benchmark:
        "logs/fetch/weights-{weights}.benchmark.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline fetch {params.flags:q} --what weights --model {params.model:q} --log {log:q}"


rule fetch_recordings:
    input:
        "data/catalogue/{dataset}-{key}.json",
    output:
        "data/raw/{dataset}/receipt-{key}.json",
    wildcard_constraints:
        dataset=one_of(FETCHED),
    params:
        flags=lambda w, output: flags_of(BY_KEY[w.key]),
    log:
        "logs/fetch/{dataset}-{key}.log",
    benchmark:
        "logs/fetch/{dataset}-{key}.benchmark.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=600,
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline fetch {params.flags:q} --what recordings --log {log:q}"


# A simulated dataset is made where others are fetched; it reads the weights of the networks it plants.
rule fetch_simulated:
    input:
        catalogue="data/catalogue/{dataset}-{key}.json",
        weights=lambda w: [paths.weights_receipt(name) for name in BY_KEY[w.key].dataset.simulation_models],
    output:
        "data/raw/{dataset}/receipt-{key}.json",
    wildcard_constraints:
        dataset=one_of(SIMULATED),
    params:
        flags=lambda w, output: flags_of(BY_KEY[w.key]),
    log:
        "logs/fetch/{dataset}-{key}.log",
    benchmark:
        "logs/fetch/{dataset}-{key}.benchmark.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline fetch {params.flags:q} --what recordings --threads 1 --log {log:q}"
