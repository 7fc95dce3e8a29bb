rule report:
    input:
        CATALOGUES,
        [plan.report_path for plan in PLANS],


rule report_study:
    input:
        "data/maps/{study}.nc",
        lambda w: all_scores(PLAN_OF[w.study]),
        # two selections may share what was prepared, but each has a receipt of its own to show
        lambda w: [analysis.dataset.receipt_path for analysis in PLAN_OF[w.study].analyses],
    output:
        report(
            "reports/{study}/index.html",
            caption="../captions/report.rst",
            category="Layer-by-region maps",
            labels={"study": "{study}"},
        ),
    params:
        flags=lambda w, output: FLAGS[w.study],
        key=lambda w: PLAN_OF[w.study].report_key(),
    log:
        "logs/report/{study}.log",
    benchmark:
        "logs/report/{study}.benchmark.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline report {params.flags:q} --log {log:q}"
