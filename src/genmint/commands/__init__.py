"""The verbs of the command line, one file each: their arguments, their help and what they call.

Start reading at `genmint.cli`, which registers them. What is heavy is imported inside a verb, so
that `genmint --help` stays fast.
"""
