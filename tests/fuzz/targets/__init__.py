"""What can be fuzzed: each module here has one ``TARGET`` (``tests.fuzz.target.Target``)."""
