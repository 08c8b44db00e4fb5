"""Files of objects, as people write them for `kubectl apply -f`: YAML or JSON documents, many in one text."""

import yaml

Document = dict[str, object]


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # one of two classes
    """YAML as Kubernetes reads it: a time is text."""


Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_documents(text: str) -> list[Document]:
    """The objects in `text`, each with apiVersion and kind; a `List` is what it holds.

    Raises:
        ValueError: not YAML, or something else in it; the end of a sentence that begins with the file.
    """
    try:
        parsed = list(yaml.load_all(text, Loader=Loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"is not YAML: {' '.join(str(error).split())}") from None
    found: list[Document] = []
    for document in filter(None, parsed):
        items = document.get("items", [document]) if isinstance(document, dict) else [document]
        for item in items if isinstance(items, list) else [items]:
            if not (isinstance(item, dict) and item.get("kind") and item.get("apiVersion")):
                raise ValueError(f"holds {item!r:.60}, which has no apiVersion and kind")
            found.append(item)
    return found
