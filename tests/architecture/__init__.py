"""The rules that hold the code together: imports, forbidden calls, docs against code, tidy text."""
