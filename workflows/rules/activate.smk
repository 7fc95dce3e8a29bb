# (stimulus folder, model, key) → the analysis that asks for it, filled once the catalogue is known
BY_ACTIVATIONS = {}


def activations_asked_for(analysis):
    catalogue = catalogue_of(analysis)
    for stimulus in catalogue.stimuli:
        for model in analysis.models:
            BY_ACTIVATIONS.setdefault(str(analysis.activations_path(model, stimulus.name)), (analysis, model, stimulus.name))
    return activations_of(analysis)


def asked(wildcards):
    path = f"data/activations/{wildcards.stimulus_folder}/{wildcards.model}-{wildcards.key}.zarr"
    if path not in BY_ACTIVATIONS:
        for analysis in ANALYSES.values():
            activations_asked_for(analysis)
    return BY_ACTIVATIONS[path]


def activation_inputs(wildcards):
    analysis, model, stimulus = asked(wildcards)
    weights = [paths.weights_receipt(model.base)] if model.needs_weights else []
    return [analysis.dataset.stimulus_path(stimulus), *weights]


def activation_flags(wildcards):
    analysis, model, stimulus = asked(wildcards)
    return f"{flags_of(analysis)} --stimulus '{stimulus}' --model '{model.name}'"


rule activate:
    input:
        CATALOGUES,
        lambda w: [path for analysis in ANALYSES.values() for path in activations_asked_for(analysis)],


rule activate_model:
    input:
        activation_inputs,
    output:
        directory("data/activations/{stimulus_folder}/{model}-{key}.zarr"),
    params:
        flags=lambda w, output: activation_flags(w),
    log:
        "logs/activate/{stimulus_folder}.{model}-{key}.log",
    benchmark:
        "logs/activate/{stimulus_folder}.{model}-{key}.benchmark.tsv"
    threads: 1
    resources:
        mem_mb=6000,
        runtime=240,
        gpu=int(config.get("device", "auto") == "cuda"),
    conda:
        "../../environment.yml"
    shell:
        "{PYTHON} activate {params.flags} --threads 1 --log {log}"
