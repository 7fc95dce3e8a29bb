rule report:
    input:
        CATALOGUES,
        JOBS.reports,


rule report_study:
    input:
        "data/maps/{study}.nc",
        lambda w: JOBS.study_scores(w.study),
        lambda w: JOBS.study_identifiability(w.study),
        # two selections may share what was prepared, but each has a receipt of its own to show
        lambda w: JOBS.study_receipts(w.study),
    output:
        report(
            "reports/{study}/index.html",
            caption="../captions/report.rst",
            category="Layer-by-region maps",
            labels={"study": "{study}"},
        ),
    params:
        flags=lambda w, output: JOBS.study_flags("report", w.study),
        key=lambda w: JOBS.plans[w.study].report_key(),
    log:
        "logs/report/{study}.log",
    benchmark:
        "logs/report/{study}.benchmark.tsv"
    threads: 1
    resources:
        **JOBS.resources("report_study"),
    conda:
        "../../environment.yml"
    shell:
        "python -m pipeline report {params.flags:q} --log {log:q}"
