def report_html(report, t): return ""
def report_page(run, report, t): return ""
