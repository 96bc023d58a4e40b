"""Tickets held as masked and as sparse nets, for the same steps."""

from benchmarks import tickets


def test_both_sides_train_the_same_level(monkeypatch):
    made = []
    real = tickets.Course

    def course(*given, **named):
        made.append(real(*given, **named))
        return made[-1]

    monkeypatch.setattr(tickets, "Course", course)
    monkeypatch.setattr(tickets, "STEPS", 2)
    widths = (12, 10, 3)
    level = tickets.levels(widths, 3)[-1]
    found = tickets.line(level, widths, tickets.numbers(12, 3), 2)
    assert found["level"] == 3
    assert 0.5 < found["remaining"] < 0.6
    masked, sparse = (one.side.weights() for one in made)
    assert [one.iteration for one in made] == [6, 6]
    for name, mask in level.masks.items():
        assert (masked[name][~mask] == 0).all()
        assert (sparse[name][~mask] == 0).all()
        assert (sparse[name] != level.start[name])[mask].any()
