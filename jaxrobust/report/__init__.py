"""Reports: what result rows look like as figures."""
