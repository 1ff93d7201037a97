"""In the way of a package that jsonschema does well without: its 38 grammars of web addresses take
a second to compile, in each process of Jupyter's and of Ray's"""
raise ImportError(__doc__)
