"""The Python front end: `@step` and `@pipeline` functions to the same canonical spec as YAML.

Pure: decorating and calling build a description, nothing runs. Called by authors through
`headway`, and by the command line when it reads a Python definition.
"""
