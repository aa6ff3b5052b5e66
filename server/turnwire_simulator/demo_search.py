"""The demo's search of the web: results that are made up, an answer that cites them; pure."""

import re

from turnwire_simulator.blocks import ApiObject, BlockBuilder, ProviderTool, Text

__all__ = ["wanted_search"]

_PAGES = (
    ("A page about {subject}", "https://example.com/about", "It was made up for the demo."),
    ("{subject}, in short", "https://example.org/short", "Nobody has searched."),
)


def wanted_search(body: ApiObject, question: str) -> list[BlockBuilder]:
    """What the API would say to who asks for a search that the request offers; else nothing."""
    kinds = (str(tool.get("type")) for tool in body.get("tools", ()))
    asked = re.search(r"\bsearch(?: the)? (?:web|internet)(?: for)?\s*(.*)", question, re.I | re.S)
    if asked is None or not any(kind.startswith("web_search") for kind in kinds):
        return []
    subject = " ".join(asked[1].split())[:80].rstrip("?.! ") or "the web"
    pages = [(title.format(subject=subject), url, said) for title, url, said in _PAGES]
    results = [
        {
            "type": "web_search_result",
            "title": title,
            "url": url,
            "encrypted_content": "demo",
            "page_age": None,
        }
        for title, url, _ in pages
    ]
    cited = [
        {
            "type": "web_search_result_location",
            "cited_text": said,
            "encrypted_index": "demo",
            "title": title,
            "url": url,
        }
        for title, url, said in pages
    ]
    return [
        Text("I will search the web."),
        ProviderTool("web_search", {"query": subject}, results),
        Text(f"There are two pages about {subject}. "),
        Text("The first one says that it was made up for this demo", citations=cited[:1]),
        Text("; "),
        Text("the other one adds that nobody has searched", citations=cited),
        Text(". With a real key, `turnwire serve --server-tools web_search` finds what is there."),
    ]
