"""The page of `python -m parallel memory --html FILE`: sliders, bars, curves and measured points.

page.py     the terms of the formulas as data, taken from those that Python computes by
points.py   what was measured, beside what the formulas say
memory.html memory.css formula.js curves.js memory.js    the page
"""
