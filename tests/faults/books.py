"""What a journal says of reports, held against what the emulator has counted."""

from collections import defaultdict


def rows_of(world, customer):
    """What the emulator counted, in order, by feature and resource."""
    found = defaultdict(list)
    for row in world.usage_ledger:
        if row.customer_id == customer:
            found[row.feature_id, row.resource_id].append((row.kind, row.value))
    return found


def compared(rows, delivered, unresolved, *, ordered):
    """Hold each report of the journal against what the emulator counted."""
    assert {report.behaviour for report in unresolved} <= {"DELTA"}, "a SET can be repeated, and was not"
    counted_unresolved = 0
    ends = defaultdict(lambda: [[], []])
    for which, reports in enumerate((delivered, unresolved)):
        for report in reports:
            ends[report.feature_id, report.resource_id][which].append(report)
    assert set(rows) <= set(ends), "something was counted that nobody has recorded"
    for key, (good, unknown) in ends.items():
        counted = [value for kind, value in rows[key] if kind == "DELTA"]
        bits = 0
        for value in counted:
            assert bits & value == 0, f"a DELTA of {key} was counted twice"
            bits |= value
        for report in good:
            if report.behaviour == "DELTA":
                assert report.value in counted, "delivered, and yet not counted"
                counted.remove(report.value)
            else:
                assert ("SET", report.value) in rows[key]
        for value in counted:
            assert value in [report.value for report in unknown], "counted, and neither delivered nor unknown"
            counted_unresolved += 1
        if ordered:
            in_order(rows[key])
    return {"reports": len(delivered) + len(unresolved), "counted and unresolved": counted_unresolved}


def in_order(rows):
    """Nothing came after something later of its key; a SET may come twice in a row."""
    latest = -1
    for kind, value in rows:
        numbers = [value] if kind == "SET" else [n for n in range(value.bit_length()) if value >> n & 1]
        assert min(numbers) >= latest, f"{numbers} came after {latest}"
        assert kind == "SET" or min(numbers) > latest
        latest = max(numbers)
