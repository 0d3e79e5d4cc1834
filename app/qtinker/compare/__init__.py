"""Compares many teacher-student pairs on the user's own data, and searches for the model that meets a target.

`spec` says what is asked, `pairs` and `search` make candidates of it, `sweep` trains, quantizes and measures them,
`halving` decides who is stopped early, `front`, `advice` and `target` read the table, `report` and `html` write it.
"""

from __future__ import annotations
