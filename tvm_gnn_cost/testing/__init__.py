"""What tests of a cost model need: a conformance suite, real schedules and their sources, synthetic stage graphs.

Importing this package loads nothing; of its modules only the suites (`clauses`, `conformance`,
`conformance_meta_schedule`) need pytest.
"""
