# Networks trained by a recipe: snakemake train --config recipe=NAME. Studies need none of this.

rule train:
    input:
        lambda w: training_page(),


rule train_network:
    output:
        TRAINING.outputs,
    params:
        flags=lambda w, output: TRAINING.flags(f"--seed={w.seed}"),
        key=lambda w: TRAINING.key(),
    log:
        "logs/train/{recipe}.seed-{seed}.log",
    benchmark:
        "logs/train/{recipe}.seed-{seed}.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("train_network"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline train {params.flags:q} --threads {threads:q} --log {log:q}"


rule train_page:
    input:
        lambda w: TRAINING.receipts,
    output:
        report(
            "reports/training/{recipe}/index.html",
            caption="../captions/training.rst",
            category="Trained networks",
            labels={"recipe": "{recipe}"},
        ),
    params:
        flags=lambda w, output: TRAINING.flags("--page"),
    log:
        "logs/train/{recipe}.page.log",
    benchmark:
        "logs/train/{recipe}.page.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("train_page"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline train {params.flags:q} --log {log:q}"
