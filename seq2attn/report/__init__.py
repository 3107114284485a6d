"""The report as a page: everything that an evaluation found, in one file to look at and to point at."""
