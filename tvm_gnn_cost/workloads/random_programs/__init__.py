"""Random programs: one workload whose arguments, a seed and a size, stand for any number of different ones.

`program` is the door; `draws` makes choices, `sketch` holds what was drawn, and each of the other files draws stages of
one kind. What a pair of arguments means never changes: a change of any choice is a new version, see `program`.
"""
