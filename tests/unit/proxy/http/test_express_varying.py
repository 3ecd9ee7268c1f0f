"""Marks can be put into a head and filled again, whatever stands around them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.http import express_varying

NAMES = st.sampled_from([b"traceparent", b"TraceParent", b"x-request-id", b"b3", b"accept", b"x-b3", b"x-traceparent"])
VALUES = st.from_regex(rb"[\x21-\x7e]{1,12}( [a-z%]+)?", fullmatch=True)
LINES = st.builds(b"%b:%b%b\r\n".__mod__, st.tuples(NAMES, st.sampled_from([b"", b" ", b"\t"]), VALUES))
FIELDS = st.lists(LINES, max_size=8).map(lambda lines: b"".join(lines) + b"\r\n")


@given(FIELDS)
def test_what_was_cut_out_fits_back_in(fields: bytes) -> None:
    skeleton = express_varying.skeleton(fields)
    if skeleton is None:
        assert express_varying.marked(fields) == fields
        return
    text, order = express_varying.template(express_varying.marked(fields))
    assert order == tuple(range(len(skeleton.values)))
    assert text % skeleton.values == fields


@given(FIELDS, st.data())
def test_other_values_have_the_same_skeleton_and_other_lines_another(fields: bytes, data: st.DataObject) -> None:
    skeleton = express_varying.skeleton(fields)
    if skeleton is not None:
        values = tuple(data.draw(st.from_regex(rb"[\x21-\x7e]+", fullmatch=True)) for _ in skeleton.values)
        text, _ = express_varying.template(express_varying.marked(fields))
        assert express_varying.skeleton(text % values) == (skeleton.key, values)
        further = express_varying.skeleton(b"accept: more\r\n" + fields)
        assert further is not None
        assert further.key != skeleton.key


def test_only_whole_names_count() -> None:
    assert express_varying.skeleton(b"x-traceparent: 1\r\nb33: 2\r\naccept: traceparent: 3\r\n\r\n") is None


def test_marks_may_come_twice_and_beside_per_cents() -> None:
    text, order = express_varying.template(b"100%% %b-%b" % (express_varying.mark(1), express_varying.mark(1)))
    assert text % tuple([(b"a", b"b")[number] for number in order]) == b"100% b-b"
