"""Step 4: a network becomes a model folder that vosk loads.

    python -m training.commands.build WORK/network.pt models/commands-en
    python -m training.commands.build models/commands-en models/commands-en   # after a change of phrases

The graph knows a few thousand words, so a grammar may hold any of them. `[unk]`, the filler, is everything
else: ordinary words in any order, by frequency, or phones in any order, by what follows what. Ordinary speech
then has somewhere to go that fits it better than a command.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from training.commands.kaldi import Arc, Layer, read_network, write_fst, write_model
from training.commands.network import LAYERS, PDFS, STAY, Network
from training.commands.sound import MFCC_CONF
from training.commands.vocabulary import (
    PDF,
    PHONES,
    SILENCE,
    bare,
    frequencies,
    in_accents,
    phrases,
    pronunciations,
    sounding_like,
    synonyms,
)

FILLER = "[unk]"
FOLLOWING = "following.npy"  # not for vosk: what a new graph for the same network needs
JOINT = "_"  # a whole phrase is one word, its parts joined
PLACES = "BIES"  # where in its word a phone stands; vosk finds the bounds of words by it
PHONE_ID = {SILENCE: 1} | {
    phone + place: 2 + number * len(PLACES) + at
    for number, phone in enumerate(PHONES)
    for at, place in enumerate(PLACES)
}
PAUSE = SILENCE + "I"  # silence within a whole phrase
PHONE_ID[PAUSE] = 2 + len(PHONES) * len(PLACES)
MODEL_CONF = """\
--min-active=200
--max-active={active}
--beam={beam}
--lattice-beam={lattice_beam}
--acoustic-scale=1.0
--frame-subsampling-factor=3
--endpoint.silence-phones=1
--endpoint.rule2.min-trailing-silence=0.5
--endpoint.rule3.min-trailing-silence=0.75
--endpoint.rule4.min-trailing-silence=1.0
"""
NUMBERS = "one two three four five six seven eight nine ten fifteen twenty thirty forty fifty hundred".split()


class Graph:
    """States and arcs; every phone is an arc into a state of its own that loops while the phone lasts."""

    def __init__(self) -> None:
        self.arcs: list[list[Arc]] = []
        self.final: dict[int, float] = {}

    def state(self) -> int:
        self.arcs.append([])
        return len(self.arcs) - 1

    def join(self, source: int, target: int, cost: float = 0.0) -> None:
        self.arcs[source].append(Arc(0, 0, cost, target))

    def phone(
        self, source: int, name: str, word: int = 0, cost: float = 0.0, target: int | None = None
    ) -> int:
        """An arc that says one phone (a key of PHONE_ID), into a new state or an earlier one of it."""
        identity = PHONE_ID[name]
        stay, leave = 2 * identity - 1, 2 * identity
        if target is None:
            target = self.state()
            self.arcs[target].append(Arc(stay, 0, -math.log(STAY), target))
        self.arcs[source].append(Arc(leave, word, cost - math.log(1 - STAY), target))
        return target


def placed(phones: Sequence[str]) -> list[str]:
    if len(phones) == 1:
        return [phones[0] + "S"]
    return [phones[0] + "B", *(phone + "I" for phone in phones[1:-1]), phones[-1] + "E"]


def build_graph(
    words: list[str],
    whole: list[str],
    bare_ones: set[str],
    own: set[str],
    following: np.ndarray,
    decoys: int,
    costs: argparse.Namespace,
) -> tuple[Graph, dict[str, int]]:
    """own: words understood in every accent. whole: phrases that are one word; bare_ones: those of them that
    need no prefix. following: log probability of a phone after a phone, (pdfs, pdfs). decoys: how many
    frequent words are in the filler.
    """
    identity = {word: number + 1 for number, word in enumerate([*sorted([*words, *whole]), FILLER])}
    graph = Graph()
    between = graph.state()
    silence = graph.phone(between, SILENCE, cost=-math.log(0.5))
    begin = graph.state()
    graph.join(between, begin, -math.log(0.5))
    graph.join(silence, begin)
    graph.final = {
        between: 0.0,
        silence: 0.0,
    }  # without the second, silence at the end becomes part of a word
    for word in sorted(words):
        variants = in_accents(word) if word in own else pronunciations(word)
        for phones in variants:
            at = begin
            for number, phone in enumerate(placed(phones)):
                at = graph.phone(at, phone, *((identity[word], costs.variant) if number == 0 else (0, 0.0)))
            graph.join(at, between)
    for phrase in sorted(whole):
        cost = costs.phrase + (costs.bare if phrase in bare_ones else 0.0)
        add_phrase(graph, begin, between, identity[phrase], phrase.split(JOINT), cost, costs.pause)
    add_decoys(graph, begin, between, identity[FILLER], decoys, costs)
    add_free_phones(graph, begin, between, identity[FILLER], following, costs)
    for arcs in graph.arcs:
        arcs.sort(key=lambda arc: arc.output)
    return graph, identity


def add_phrase(
    graph: Graph, begin: int, end: int, word: int, parts: list[str], cost: float, pause_cost: float
) -> None:
    """A whole phrase as one word: its parts in this order only, in any accent, with or without pauses."""
    at = begin
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        following = end if last else graph.state()
        for phones in in_accents(part):
            names = [phone + "I" for phone in phones]
            if number == 0:
                names[0] = phones[0] + "B"
            if last:
                names[-1] = phones[-1] + "E"
            step = at
            for place, name in enumerate(names):
                first = number == place == 0
                step = graph.phone(step, name, *((word, cost) if first else (0, 0.0)))
            graph.join(step, following)
        if not last:
            pause = graph.phone(following, PAUSE, cost=pause_cost)
            at = graph.state()
            graph.join(following, at)
            graph.join(pause, at)


def add_decoys(graph: Graph, begin: int, end: int, word: int, decoys: int, costs: argparse.Namespace) -> None:
    """Ordinary words as a tree by their phones; several of them may make one filler."""
    common = dict(frequencies()[:decoys])
    total = math.log(sum(math.exp(score) for score in common.values()))
    for each in costs.near_words:
        common[each] = max(common.get(each, -math.inf), total - costs.near)
    said: dict[tuple[str, ...], float] = {}
    for each, score in common.items():
        for phones in pronunciations(each):
            said[phones] = max(said.get(phones, -math.inf), score - total)
    best: dict[
        tuple[str, ...], float
    ] = {}  # of the words that begin so: the search sees early what is likely
    for phones, score in said.items():
        for length in range(len(phones) + 1):
            best[phones[:length]] = max(best.get(phones[:length], -math.inf), score)
    again = graph.state()
    nodes: dict[tuple[str, ...], list[int]] = {}
    for phones in sorted(best, key=len)[1:]:
        cost, name = best[phones[:-1]] - best[phones], phones[-1] + "I"
        if len(phones) == 1:
            opened = graph.phone(begin, phones[0] + "B", word, cost + costs.filler)
            nodes[phones] = [opened, graph.phone(again, name, 0, cost)]
        else:
            target = None
            for parent in nodes[phones[:-1]]:
                target = graph.phone(parent, name, 0, cost, target)
            nodes[phones] = [target] if target is not None else []
    for phones, score in said.items():
        for node in nodes[phones]:
            graph.join(node, again, best[phones] - score)
        cost, target = best[phones[:-1]] - score, None
        for parent in nodes.get(phones[:-1], [again]):
            target = graph.phone(parent, phones[-1] + "E", 0, cost, target)
        if target is not None:
            graph.join(target, end)
        if len(phones) == 1:
            graph.join(graph.phone(begin, phones[0] + "S", word, cost + costs.filler), end)


def add_free_phones(
    graph: Graph, begin: int, end: int, word: int, following: np.ndarray, costs: argparse.Namespace
) -> None:
    inside: dict[str, int] = {}
    for phone in PHONES:
        inside[phone] = graph.state()
    first: dict[str, int] = {}
    for phone in PHONES:
        number = PDF[phone]
        opened = graph.phone(begin, phone + "B", word, costs.filler + costs.free - following[0, number])
        graph.join(opened, inside[phone])
        first[phone] = opened
    middle: dict[str, int] = {}
    last: dict[str, int] = {}
    for phone in PHONES:
        for following_phone in PHONES:
            cost = costs.free_phone - following[PDF[phone], PDF[following_phone]]
            source = inside[phone]
            target = graph.phone(source, following_phone + "I", 0, cost, middle.get(following_phone))
            if following_phone not in middle:
                middle[following_phone] = target
                graph.join(target, inside[following_phone])
            target = graph.phone(source, following_phone + "E", 0, cost, last.get(following_phone))
            if following_phone not in last:
                last[following_phone] = target
                graph.join(target, end)


def layers_of(network: Network) -> list[Layer]:
    """Convolutions as affine maps; the normalisation of each is folded into the next, in float64."""
    made: list[Layer] = []
    scale = 1 / network.deviation.double().numpy()
    shift = -network.mean.double().numpy() * scale
    for convolution, norm, (kernel, dilation) in zip(
        network.convolutions, network.norms, LAYERS, strict=True
    ):
        weights = convolution.weight.detach().double().numpy()  # out, in, kernel
        bias = convolution.bias.detach().double().numpy() + np.einsum("oik,i->o", weights, shift)
        flat = (weights * scale[None, :, None]).transpose(0, 2, 1).reshape(len(weights), -1)
        offsets = [(number - kernel // 2) * dilation for number in range(kernel)]
        made.append(Layer(offsets, flat, bias))
        scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach().double().numpy()
        shift = norm.bias.detach().double().numpy() - norm.running_mean.double().numpy() * scale
    weights = network.out.weight.detach().double().numpy()
    bias = network.out.bias.detach().double().numpy() + weights @ shift
    return [*made, Layer([0], weights * scale[None], bias)]


def load(path: Path) -> tuple[list[Layer], np.ndarray]:
    """Layers, and probability of a phone 30 ms after a phone, (pdfs, pdfs), of a network or a folder."""
    if path.is_dir():
        return read_network(path / "am" / "final.mdl"), np.load(path / "am" / FOLLOWING)
    stored = torch.load(path)
    network = Network(stored["width"])
    network.load_state_dict(stored["state"])
    network.eval()
    return layers_of(network), stored["transitions"].exp().numpy()


def vocabulary(commands: Path, size: int) -> tuple[str, list[str]]:
    """The prefix, and every word that a grammar may hold."""
    prefix, listed = phrases(commands)
    words = {*" ".join([prefix, *listed, *synonyms()]).split(), *NUMBERS}
    words |= {word for word, _ in frequencies()[:size]}
    return prefix, sorted(word for word in words if pronunciations(word))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", type=Path, help="or the folder of an earlier model, for other words")
    parser.add_argument("out", type=Path)
    parser.add_argument("--commands", type=Path, default=Path("config/commands/en.toml"))
    parser.add_argument("--words", type=int, default=3000, help="frequent words that a grammar may hold")
    parser.add_argument("--more-words", default="", help="further words, for tests")
    parser.add_argument("--decoys", type=int, default=800, help="frequent words in the filler")
    parser.add_argument("--filler", type=float, default=4.0, help="cost of beginning a filler")
    parser.add_argument(
        "--near", type=float, default=8.0, help="most cost of a word in it that sounds like one of ours"
    )
    parser.add_argument("--free", type=float, default=2.0, help="cost of a filler made of free phones")
    parser.add_argument("--free-phone", type=float, default=0.3, help="cost of each of them")
    parser.add_argument("--variant", type=float, default=0.5, help="cost of a word, said in whatever way")
    parser.add_argument("--phrase", type=float, default=0.5, help="cost of beginning a whole phrase")
    parser.add_argument("--bare", type=float, default=4.0, help="more of it where the phrase needs no prefix")
    parser.add_argument("--pause", type=float, default=1.5, help="cost of a pause within a whole phrase")
    parser.add_argument("--beam", type=float, default=11.0)
    parser.add_argument("--lattice-beam", type=float, default=2.0)
    parser.add_argument("--active", type=int, default=1500)
    options = parser.parse_args()
    assert len(PDF) == PDFS
    layers, stored_following = load(options.network)
    following = stored_following.astype(np.float64)
    following[np.diag_indices(len(following))] -= STAY
    following[:, PDF[SILENCE]] = 0  # no pause within a word
    following = np.log(following / following.sum(1, keepdims=True) + 1e-9)
    prefix, words = vocabulary(options.commands, options.words)
    words = sorted({*words, *options.more_words.split()})
    own = {word for phrase in [prefix, *phrases(options.commands)[1]] for word in phrase.split()}
    options.near_words = sounding_like(own)
    bare_ones = {phrase.replace(" ", JOINT) for phrase in bare(options.commands)}
    whole = [f"{prefix} {phrase}".replace(" ", JOINT) for phrase in phrases(options.commands)[1]]
    graph, identity = build_graph(
        words, [*whole, *sorted(bare_ones)], bare_ones, own, following, options.decoys, options
    )
    out: Path = options.out
    pdf_of_phone = [0] * len(PHONE_ID)
    for name, number in PHONE_ID.items():
        pdf_of_phone[number - 1] = PDF[name if name == SILENCE else name[:-1]]
    write_model(out / "am" / "final.mdl", pdf_of_phone, layers, STAY)
    np.save(out / "am" / FOLLOWING, stored_following)
    write_fst(out / "graph" / "HCLr.fst", graph.arcs, 0, graph.final)
    even = math.log(len(identity) + 1)
    free = [Arc(number, number, even, 0) for number in sorted(identity.values())]
    write_fst(out / "graph" / "Gr.fst", [free], 0, {0: even})
    conf = MODEL_CONF.format(beam=options.beam, lattice_beam=options.lattice_beam, active=options.active)
    places = dict(zip(PLACES, ("begin", "internal", "end", "singleton"), strict=True))
    bounds = [
        "nonword" if name == SILENCE else places[name[-1]]
        for name in sorted(PHONE_ID, key=PHONE_ID.__getitem__)
    ]
    texts = {
        "conf/model.conf": conf,
        "conf/mfcc.conf": MFCC_CONF,
        "graph/words.txt": "<eps> 0\n" + "".join(f"{word} {number}\n" for word, number in identity.items()),
        "graph/disambig_tid.int": "",
        "graph/phones/word_boundary.int": "".join(f"{k + 1} {bound}\n" for k, bound in enumerate(bounds)),
    }
    for name, text in texts.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(
        f"{len(words)} words, {len(graph.arcs)} states, {sum(map(len, graph.arcs))} arcs, {size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
