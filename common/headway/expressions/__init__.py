"""CEL: conditions, and what stands inside `${{ }}`.

Pure. Checks read the tree that cel-python parses; values come from the interpreter of
common-expression-language, which only `evaluate` loads. Static limits (length, nesting, one
comprehension deep) hold before anything is evaluated; the deadline is the caller's: the
coordinator evaluates in a process that it can end.
"""

from headway.expressions.checking import check, check_type
from headway.expressions.evaluation import context, evaluate, evaluate_condition, lookup
from headway.expressions.limits import ExpressionError
from headway.expressions.names import RESERVED, Names, names, simple_path
from headway.expressions.scope import RUN_FIELDS, Fault, Scope, with_interval
from headway.expressions.template import (
    Part,
    Template,
    as_text,
    expressions_in,
    resolve,
    template,
)

__all__ = [
    "RESERVED",
    "RUN_FIELDS",
    "ExpressionError",
    "Fault",
    "Names",
    "Part",
    "Scope",
    "Template",
    "as_text",
    "check",
    "check_type",
    "context",
    "evaluate",
    "evaluate_condition",
    "expressions_in",
    "lookup",
    "names",
    "resolve",
    "simple_path",
    "template",
    "with_interval",
]
