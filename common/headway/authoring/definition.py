"""A definition as an object: from YAML or from a pipeline in Python, and written back as YAML.

`Definition.from_yaml(text).to_yaml()` means the same as the text, to the digest; comments and
anchors do not survive. Parts are plain values, which may be changed: `definition.steps["load"]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headway.authoring.located import located
from headway.authoring.places import Sources
from headway.authoring.trees import Files
from headway.authoring.trees import plain as plain_tree
from headway.authoring.writing import yaml_of
from headway.errors import DefinitionError, Problem
from headway.spec.definition import Loaded, Spec, load, load_node
from headway.spec.document import Mapping as MappingNode
from headway.spec.document import Node, Scalar, documents, plain
from headway.spec.report import Report

if TYPE_CHECKING:
    from headway.authoring.located import Located
    from headway.authoring.pipelines import Pipeline

_GROUPS = ("params", "steps", "finally")


@dataclass(slots=True)
class Definition:
    """`keys` are the pipeline's own; params, steps and `finally` steps stand by name."""

    keys: dict[str, Any]
    params: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    finally_: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_yaml(cls, text: bytes | str, file: str = "definition.yaml") -> Definition:
        """Return the one definition of a text. Raises DefinitionError with every problem."""
        _demand(load(text, file))
        [root] = documents(text, Report(file))
        return cls.of_document(document_of(root))

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Definition:
        """Return a definition of plain values, as YAML has them."""
        keys = {name: value for name, value in document.items() if name not in _GROUPS}
        return cls(keys, *({**document.get(group, {})} for group in _GROUPS))

    @property
    def document(self) -> dict[str, Any]:
        """The definition as plain values, in the order in which it is written."""
        groups = {"params": self.params, "steps": self.steps, "finally": self.finally_}
        kept = {name: group for name, group in groups.items() if group or name == "steps"}
        head = {name: value for name, value in self.keys.items() if name != "tests"}
        return {**head, **kept, **{k: v for k, v in self.keys.items() if k == "tests"}}

    def to_yaml(self) -> str:
        """Return the definition as YAML."""
        return yaml_of(self.document)

    def spec(self) -> Spec:
        """Return the checked definition with its digest. Raises DefinitionError."""
        return _demand(load(self.to_yaml(), str(self.keys.get("pipeline"))))


def of_pipeline(pipeline: Pipeline) -> Definition:
    """Return the definition that a pipeline in Python builds. Raises DefinitionError."""
    built = pipeline.assemble()
    if built.mistakes:
        raise DefinitionError("the pipeline has mistakes", [e.problem() for e in built.mistakes])
    tree = located(built.document, Sources())
    _demand(checked(tree)[0])
    return Definition.of_document(plain_tree(tree))


def checked(tree: Located) -> tuple[Loaded, str]:
    """Return what a located tree defines, or its problems at the author's places; and its YAML.

    The text is what is stored, so it is read, too: a limit on texts holds for it all the same.
    """
    files = Files()
    file = tree.place.file
    found = load_node(files.node(tree), file)
    if found.spec is None:
        return Loaded(None, tuple(files.problem(each) for each in found.problems)), ""
    text = yaml_of(plain_tree(tree))
    stored = load(text, file)
    if stored.spec is None:
        return Loaded(None, tuple(_at(tree, each) for each in stored.problems)), ""
    assert stored.spec.digest == found.spec.digest, "the text means something else than the tree"
    return stored, text


def _at(tree: Located, problem: Problem) -> Problem:
    """A problem of the written text stands nowhere in the author's source but at the pipeline."""
    return Problem(*tree.place, problem.code, problem.message, problem.hint)


def document_of(root: Node) -> dict[str, Any]:
    """Return the plain values of a document; variables and labels as text, as they are meant."""
    document: dict[str, Any] = plain(root)
    if isinstance(root, MappingNode):
        _keep_text(root, ("labels",), document)
        _keep_text(root, ("defaults", "env"), document)
        for group in ("steps", "finally"):
            for name in document.get(group) or {}:
                _keep_text(root, (group, name, "env"), document)
    return document


def _keep_text(root: MappingNode, path: tuple[str, ...], document: dict[str, Any]) -> None:
    node: Node = root
    values: Any = document
    for name in path:
        if not isinstance(node, MappingNode) or name not in node.entries:
            return
        node, values = node.entries[name][1], values[name]
    if isinstance(node, MappingNode):
        for name, (_, item) in node.entries.items():
            if isinstance(item, Scalar) and not isinstance(item.value, bool):
                values[name] = item.text


def _demand(loaded: Loaded) -> Spec:
    if loaded.spec is None:
        count = len(loaded.problems)
        message = f"{count} mistake{'s' if count > 1 else ''} in the definition"
        raise DefinitionError(message, loaded.problems)
    return loaded.spec
