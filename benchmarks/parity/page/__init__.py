"""The report as one page of HTML that needs nothing else: verdicts, plots, the tree of modules, pictures, all rows."""

from benchmarks.parity.page.heading import Heading, sha256_of, versions_of
from benchmarks.parity.page.writing import check_packages, write_page

__all__ = ["Heading", "check_packages", "sha256_of", "versions_of", "write_page"]
