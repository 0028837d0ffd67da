"""Tables as CSV, read back."""

from counterpoise.results.rows import parse_rows


def test_a_variant_in_square_brackets_of_older_records_is_the_one_in_round_ones():
    rows = parse_rows("line,note\nMMPareto [released],a [b] c\n", "table3.csv")
    assert rows == [{"line": "MMPareto (released)", "note": "a [b] c"}]
