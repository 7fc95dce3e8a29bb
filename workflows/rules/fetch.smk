rule fetch:
    input:
        CATALOGUES,
        JOBS.receipts,


rule fetch_weights:
    output:
        "data/raw/weights/{weights}/receipt.json",
    params:
        flags=lambda w, output: JOBS.flags("fetch", JOBS.with_weights[w.weights][1]),
        model=lambda w, output: JOBS.with_weights[w.weights][0],
        key=lambda w: JOBS.weights_key(w.weights),
    log:
        "logs/fetch/weights-{weights}.log",
    benchmark:
        "logs/fetch/weights-{weights}.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("fetch_weights"),
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
        dataset=one_of(JOBS.fetched),
    params:
        flags=lambda w, output: JOBS.flags("fetch", JOBS.with_dataset[w.key]),
    log:
        "logs/fetch/{dataset}-{key}.log",
    benchmark:
        "logs/fetch/{dataset}-{key}.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("fetch_recordings"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline fetch {params.flags:q} --what recordings --log {log:q}"


# A simulated dataset is made where others are fetched; it reads the weights of the networks it plants.
rule fetch_simulated:
    input:
        catalogue="data/catalogue/{dataset}-{key}.json",
        weights=lambda w: JOBS.simulation_weights(w.key),
    output:
        "data/raw/{dataset}/receipt-{key}.json",
    wildcard_constraints:
        dataset=one_of(JOBS.simulated),
    params:
        flags=lambda w, output: JOBS.flags("fetch", JOBS.with_dataset[w.key]),
    log:
        "logs/fetch/{dataset}-{key}.log",
    benchmark:
        "logs/fetch/{dataset}-{key}.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("fetch_simulated"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline fetch {params.flags:q} --what recordings --threads 1 --log {log:q}"
