"""A session of a client with `jackal lsp`: lsp.py WORKSPACE TRACE JACKAL.

Types like a person: files are broken in between. Fails with the first surprise.
"""

import asyncio
import sys
from pathlib import Path

from lsprotocol import types
from pygls.lsp.client import LanguageClient

root, trace, jackal = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
HEAD = "kind: JackalPipeline\nversion: 1\nname: x\ntasks:\n"


def check(holds, what):
    if not holds:
        raise SystemExit(f"lsp: {what}")


async def session():
    client = LanguageClient("peer", "1")
    published = {}
    arrived = asyncio.Event()
    logged = []

    @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    def _(params):
        published[params.uri] = params.diagnostics
        arrived.set()

    @client.feature(types.WINDOW_LOG_MESSAGE)
    def _(params):
        logged.append(params.message)

    await client.start_io(
        "strace", "-f", "-e", "trace=openat,mkdir,rename,unlink,socket,connect,execve",
        "-o", trace, jackal, "lsp", "--stdio",
    )
    started = await client.initialize_async(
        types.InitializeParams(
            process_id=None, root_uri=root.as_uri(), capabilities=types.ClientCapabilities()
        )
    )
    check(started.server_info.name == "jackal", "another server answered")
    check(started.capabilities.position_encoding == "utf-16", "the encoding is not UTF-16")
    client.initialized(types.InitializedParams())

    path = root / "app ü" / "jackal.pipeline.yaml"
    uri = path.as_uri()
    version = 1

    def item(text):
        return types.TextDocumentItem(uri=uri, language_id="yaml", version=1, text=text)

    async def diagnostics(of, holds):
        for _ in range(200):
            if of in published and holds(published[of]):
                return published[of]
            arrived.clear()
            try:
                await asyncio.wait_for(arrived.wait(), 1)
            except asyncio.TimeoutError:
                pass
        raise SystemExit(f"lsp: these diagnostics never changed: {published.get(of)}")

    def change(text):
        nonlocal version
        version += 1
        client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                text_document=types.VersionedTextDocumentIdentifier(uri=uri, version=version),
                content_changes=[types.TextDocumentContentChangeWholeDocument(text=text)],
            )
        )

    def at(text):
        """The text without its mark, and the position of the mark in UTF-16."""
        before, after = text.split("@")
        line = before.rsplit("\n", 1)[-1]
        change(before + after)
        return {
            "text_document": types.TextDocumentIdentifier(uri=uri),
            "position": types.Position(before.count("\n"), len(line.encode("utf-16-le")) // 2),
        }

    # Mistakes of a file that is not on disk, behind characters of two code units.
    text = HEAD + "  a: { description: '𝄞𝄞', run: [x], inputs: ['task:b'] }\n"
    client.text_document_did_open(types.DidOpenTextDocumentParams(text_document=item(text)))
    found = await diagnostics(uri, lambda found: len(found) == 1)
    check(found[0].code == "unknown-task", found)
    line = text.split("\n")[4]
    begin = len(line[: line.index("'task")].encode("utf-16-le")) // 2
    check(found[0].range.start == types.Position(4, begin), found)
    check(found[0].severity == types.DiagnosticSeverity.Error, found)

    # Mended, then half typed.
    change(HEAD + "  a: { run: [x], inputs: ['task:lib:compile'] }\n")
    await diagnostics(uri, lambda found: not found)
    change(HEAD + "  a: { run: [")
    found = await diagnostics(uri, lambda found: len(found) == 1)
    check(found[0].code == "invalid-yaml", found)

    async def labels(text):
        given = at(text)
        offers = await client.text_document_completion_async(types.CompletionParams(**given))
        return [offer.label for offer in offers or []], offers

    names, offers = await labels(HEAD + "  a:\n    run: [x\n    time@")
    check("timeout" in names, names)
    edit = next(offer for offer in offers if offer.label == "timeout").text_edit
    check(edit.range.start == types.Position(6, 4) and edit.new_text == "timeout: ", edit)
    names, _ = await labels(HEAD + "  a:\n    inputs:\n    - 'task:@")
    check("task:lib:compile" in names, names)
    names, _ = await labels(HEAD + "  a:\n    component: { definition: ../common/jackal.yaml, name: @")
    check(names == ["db"], names)

    given = at(HEAD + "  a: { run: [x], time@out: 1m }\n")
    hover = await client.text_document_hover_async(types.HoverParams(**given))
    check("timeout" in hover.contents.value, hover)

    given = at(HEAD + "  é: { run: ['𝄞'], inputs: ['task:lib:com@pile'] }\n")
    target = await client.text_document_definition_async(types.DefinitionParams(**given))
    check(target.uri == (root / "lib" / "jackal.pipeline.yaml").as_uri(), target)
    check(target.range.start == types.Position(3, 2), target)

    # What is no message is skipped, with a note.
    client._server.stdin.write(b"Content-Length: 4\r\n\r\n{no}nonsense\r\n")
    # A document of another scheme, and requests about files that are not open.
    other = types.TextDocumentItem(uri="untitled:1", language_id="yaml", version=1, text="[")
    client.text_document_did_open(types.DidOpenTextDocumentParams(text_document=other))
    nothing = await client.text_document_hover_async(
        types.HoverParams(
            text_document=types.TextDocumentIdentifier(uri="file:///none.yaml"),
            position=types.Position(9, 9),
        )
    )
    check(nothing is None, nothing)
    check(len(logged) == 2, logged)

    # Outside of the workspace.
    alone = Path("/tmp/peer-lsp-none/jackal.yaml").as_uri()
    client.text_document_did_open(
        types.DidOpenTextDocumentParams(
            text_document=types.TextDocumentItem(
                uri=alone, language_id="yaml", version=1, text="kind: [\n"
            )
        )
    )
    await diagnostics(alone, lambda found: len(found) == 1)
    client.text_document_did_close(
        types.DidCloseTextDocumentParams(text_document=types.TextDocumentIdentifier(uri=alone))
    )
    await diagnostics(alone, lambda found: not found)

    await client.shutdown_async(None)
    client.exit(None)
    code = await asyncio.wait_for(client._server.wait(), 20)
    check(code == 0, f"the server ended with {code}")


asyncio.run(asyncio.wait_for(session(), 300))
