"""Ordinary operations on a source's files and on its table, at random, each followed by a run: after
every run each row is there as often as it must be, and so is each refused line.

What happens  Files are added, appended to, rewritten, renamed (within their date or to another),
              rotated, swapped, copied, compressed (with and without the original), touched, deleted
              and brought back; the folder moves to another place; there is a second folder; the
              pipeline gets another name, its SQL changes; the table is restored by delta-rs, its
              log cleaned up, its files compacted and vacuumed; runs are killed at any
              write, and two run at once, also while a file comes. Copies are kept or skipped, rows
              of gone files kept or removed, by the seed.
The model     `Books` below: the rules by which a load knows its files, written down once more, in
              the plainest way, over the files' lines. Every line has a number of its own, so equal
              contents are copies and never chance.
SMELT_SEED repeats a run of it; STORY (80) is how many lines are told of what happened before a
failure. OPERATIONS_SECONDS (20) is how long it goes on in `make test`;
`make soak` does OPERATIONS_STEPS (1000) steps for each of several seeds."""
import collections
import copy
import gzip
import json
import os
import pathlib
import random
import shutil
import subprocess
import time

import deltalake
import pyarrow as pa
import pytest

SEED = int(os.environ.get("SMELT_SEED") or random.SystemRandom().randrange(1_000_000))
SECONDS = float(os.environ.get("OPERATIONS_SECONDS", 20))
STEPS = int(os.environ.get("OPERATIONS_STEPS", 1000))
DATES = ["20240105", "20240106", "20240107", "20240108"]

PIPELINE = """\
name: {name}
vars:
  logs: {{type: uri, default: ./logs}}
  lake: {{type: uri, default: ./lake}}
lake: lake
sources:
  - {{name: logs, match: '[.]json(.gz)?$', quarantine: bad.lines, copies: {copies}, gone: {gone}}}
tasks:
  - {{load: raw.lines, from: logs, sql: lines.sql, by: day}}
"""
SQL = ("SELECT {id} AS id, file_date AS day FROM read_json(var('logs'), match => '[.]json(.gz)?$', "
       "columns => {{id: 'BIGINT'}}, file_date => true, bad_lines => 'quarantine', validate => 'all')")


# ---- the model --------------------------------------------------------------------------------


class File:
    """A file that is known: what of it was loaded; `lines` None: its rows are no more in the table, which
    does not take from what was `seen` of it."""

    def __init__(self, date, lines, passed=None):
        self.date, self.lines, self.seen = date, lines, lines or passed
        self.is_passed = lines is None  # over: it was seen, and another stands for it


class Refused(Exception):
    """The run must end with exit code 1 and change nothing."""


class OtherQuery(Refused):
    """The rows were loaded by other SQL."""


class WhichRoot(Refused):
    """Only the user can know whether the folder is one that is known."""


class Elsewhere(Refused):
    """A Date that is replaced has rows of another root's file, which is not there to be read again, or
    whose path is another file's by now."""

    def __init__(self, place, name, lines):
        super().__init__(f"{place}/{name}")
        self.place, self.name, self.lines = place, name, lines


class Root:
    """A folder that was loaded: where it lies, by which pipeline and SQL its rows came last."""

    def __init__(self):
        self.place = self.pipeline = self.query = None


class Books:
    """What one table holds. Roots are known by number; files by (root, name). A file whose rows are there
    but whose path is another file's by now has a name that ends in `?`."""

    def __init__(self, by_date, copies, gone):
        self.by_date = by_date  # are rows replaced by Dates, those of all roots?
        self.copies, self.gone = copies, gone  # the source's policies
        self.has_gone = False  # at the last run, also such whose rows leave then
        self.roots = []
        self.files = {}  # (root, name) -> File

    def rows(self):
        return collections.Counter(line for file in self.files.values() if file.lines
                                   for line in file.lines)

    # a folder is {name: lines}, of compressed files what is in them

    def lost(self, place, lists):
        """Roots that may be this folder's, since they do not list any more; None where the place tells."""
        places = [root.place for root in self.roots]
        return None if place in places else [n for n, other in enumerate(places) if not lists(other)]

    def root_of(self, place, listed, lists, choice):
        lost = self.lost(place, lists)
        if lost is None:
            return [root.place for root in self.roots].index(place)
        number = len(self.roots)
        if choice == "--same-root":
            number = lost[0] if len(self.roots) > 1 else 0
        elif choice is None:
            equal, differ = {}, set()
            for n in range(len(self.roots)):
                both = [name for name in listed if (n, name) in self.files and self.files[n, name].seen]
                if any(self.files[n, name].seen != listed[name] for name in both):
                    differ.add(n)
                elif both:
                    equal[n] = len(both)
            if equal:  # the one with most of them
                number = max(equal, key=lambda n: (equal[n], -n))
            elif len(lost) > 1 or differ.intersection(lost):
                raise WhichRoot
            elif lost:
                number = lost[0]
        if number == len(self.roots):
            self.roots.append(Root())
        self.roots[number].place = place
        return number

    def stand(self, listed, known):
        """Which files stand for themselves and their twins, and which are passed over: of two that are
        whole the one whose rows are there, else the plain one."""
        found = dict(listed)
        for name in listed:
            plain = name[:-3]
            if name.endswith(".gz") and plain in listed:
                has = [other for other in (plain, name)
                       if other in known and known[other].lines == listed[other] is not None]
                del found[plain if has == [name] else name]
        return found, {name: lines for name, lines in listed.items() if name not in found}

    def query_of(self, place, pipeline):
        """By which SQL that folder's rows were loaded; of a new one, the rows that this pipeline loaded."""
        root = next(root for root in self.roots if root.place == place)
        of = [root] if root.pipeline else [other for other in self.roots if other.pipeline == pipeline]
        return next((other.query for other in of if other.query), None)

    def enter(self, place, pipeline, query):
        next(root for root in self.roots if root.place == place).pipeline = pipeline
        for root in self.roots:
            if root.pipeline == pipeline:
                root.query = query

    def run(self, place, listed, lists, choice=None):
        root = self.root_of(place, listed, lists, choice)
        known = {name: file for (number, name), file in sorted(self.files.items(), key=by_path)
                 if number == root}
        found, passed = self.stand(listed, known)
        taken = {}  # name now -> its File
        dates = set()  # to be replaced
        for name, lines in found.items():
            if name in known and known[name].lines == lines:
                taken[name] = known.pop(name)
        left = {name: lines for name, lines in found.items() if name not in taken}
        for within_date in (True, False):  # moved; first those whose rows stay as they are
            for name, lines in left.items():
                olds = [old for old, file in known.items() if lines and file.lines == lines
                        and passed.get(old) != lines and (file.date == date_of(name) or not within_date)]
                if olds and name not in taken:
                    file = known.pop(olds[0])
                    if file.date != date_of(name):
                        dates |= {file.date, date_of(name)}
                        file = File(date_of(name), lines)
                    taken[name] = file
        left = {name: lines for name, lines in left.items() if name not in taken}
        for name, lines in left.items():  # grown, of what is nowhere: its path is gone or another's
            olds = [old for old, file in known.items() if old not in left and old not in passed
                    and file.lines and lines[:len(file.lines)] == file.lines]
            if olds and (name not in known or known[name].lines is None):
                olds.sort(key=lambda old: known[old].date)
                file = known.pop(max(olds, key=lambda old: (len(known[old].lines),
                                                            known[old].date == date_of(name))))
                dates |= {file.date, date_of(name)}
                taken[name] = File(date_of(name), lines)
        left = {name: lines for name, lines in left.items() if name not in taken}
        is_new = {name: name not in known or known[name].lines is None for name in left}
        for name in sorted(left, key=is_new.get):  # changed, or new (a copy is new too)
            if is_new[name] and self.copies == "skip" and left[name] and self.has(root, taken, left[name]):
                passed[name] = left[name]
                continue
            if not is_new[name]:
                dates.add(known[name].date)
            known.pop(name, None)
            taken[name] = File(date_of(name), left[name])
        self.has_gone = any(file.lines is not None for file in known.values())
        for name in passed:  # another file stands for what its path had
            if name in known and known[name].lines:
                dates.add(known[name].date)
            known[name] = File(date_of(name), None, passed[name])
        known = {name: file for name, file in known.items() if name in passed or not file.is_passed}
        if self.gone == "remove":
            dates |= {file.date for file in known.values() if file.lines}
        for file in known.values():  # gone
            if file.date in dates or self.gone == "remove":
                file.lines = None
        for (number, name), file in self.files.items():
            if self.by_date and number != root and file.lines and file.date in dates:
                path = pathlib.Path(self.roots[number].place) / name
                if not path.exists():
                    raise Elsewhere(self.roots[number].place, name, file.lines)
                file.lines = file.seen = lines_of(path)  # read again, as it is now
        self.files = {key: file for key, file in self.files.items() if key[0] != root}
        self.files.update({(root, name): file for name, file in taken.items()})
        for name, file in known.items():  # another known one may have moved onto its path
            while (root, name) in self.files:
                name += "?"
            self.files[root, name] = file

    def has(self, root, taken, lines):
        """Is it the content of a file that is there, of this root or of another?"""
        others = [file for (number, _), file in self.files.items() if number != root]
        return any(file.lines == lines for file in [*taken.values(), *others])

    def reload(self, place, listed, lists):
        """--full-refresh: of this root alone, all its files being there, renamed or not."""
        self.run(place, listed, lists)
        root = self.root_of(place, listed, lists, None)
        if self.has_gone or any(file.lines is not None and number != root
                                for (number, _), file in self.files.items()):
            raise Refused("files are gone")


def by_path(item):
    """Books are in byte order of paths; of a file whose path is another's by now too."""
    (number, name), _ = item
    return number, name.rstrip("?"), name


def lines_of(path):
    """Of a compressed file those in it; None: it is unfinished."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (EOFError, gzip.BadGzipFile):
            return None
    return data.decode().splitlines()


def short(lines):
    return "-" if lines is None else ",".join(line.strip('{"id:}').replace("broken ", "!") for line in lines)


def lists(place):
    """An empty folder is what a mount leaves behind."""
    return os.path.isdir(place) and bool(os.listdir(place))


def date_of(name):
    return next(date for date in DATES if date in name)


# ---- the world --------------------------------------------------------------------------------


class World:
    def __init__(self, program, folder, seed):
        self.program, self.folder = program, folder
        self.rng = random.Random(seed)
        self.number, self.clock = 0, 1_700_000_000
        self.name, self.sql = "first", "id"
        self.places = [folder / "logs"]
        self.places[0].mkdir(parents=True)
        self.here = 0  # index of the folder that is read
        self.lake = folder / "lake"
        self.copies, self.gone = self.rng.choice(["keep", "skip"]), self.rng.choice(["keep", "remove"])
        self.tables = {"raw/lines": Books(True, self.copies, self.gone),
                       "bad/lines": Books(False, self.copies, self.gone)}
        self.states = {}  # version of raw.lines -> its Books then
        self.story, self.scene = [], []
        self.write_pipeline()

    def write_pipeline(self):
        (self.folder / "p.yaml").write_text(PIPELINE.format(
            name=self.name, copies=self.copies, gone=self.gone))
        (self.folder / "lines.sql").write_text(SQL.format(id=self.sql))

    # ---- files

    def lines(self, n):
        made = []
        for _ in range(n):
            self.number += 1
            made.append(f"broken {self.number}" if self.rng.random() < 0.2 else f'{{"id":{self.number}}}')
        return made

    def names(self, place=None):
        return sorted(path.name for path in (place or self.place).iterdir())

    @property
    def place(self):
        return self.places[self.here]

    def pick(self):
        names = self.names()
        return self.rng.choice(names) if names else None

    def new_name(self, date=None):
        stem = self.rng.choice(["app", "web", "db"]) + str(self.rng.randrange(4))
        return f"{stem}_{date or self.rng.choice(DATES)}.json"

    def write(self, name, lines):
        data = "".join(line + "\n" for line in lines).encode()
        path = self.place / name
        aside = self.folder / "aside"  # a run that is under way sees it whole or not at all
        aside.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
        aside.replace(path)
        self.touch(name)

    def touch(self, name):
        self.clock += 1
        os.utime(self.place / name, (self.clock, self.clock))

    def listing(self, place):
        """{name: lines}; of an unfinished file None."""
        listed = {path.name: lines_of(path) for path in sorted(place.iterdir())}
        for name in listed:
            plain = listed.get(name[:-3]) if name.endswith(".gz") else None
            if listed[name] is None and plain is None:
                raise Refused("damaged")
            if None not in (plain, listed[name]) and plain != listed[name]:
                raise Refused("twins differ")
        return listed

    # ---- what happens to files

    def add(self):
        self.write(self.new_name(), self.lines(self.rng.choice([0, 1, 3, 20])))

    def append(self):
        name = self.pick()
        if name and lines_of(self.place / name) is not None:
            self.write(name, lines_of(self.place / name) + self.lines(self.rng.choice([1, 5])))

    def rewrite(self):
        name = self.pick()
        if name:
            self.write(name, self.lines(self.rng.choice([1, 4])))

    def rename(self):
        self.move(self.rng.random() < 0.7)

    def move(self, same_date):
        name = self.pick()
        if not name:
            return
        to = self.new_name(date_of(name) if same_date else None) + (".gz" if name.endswith(".gz") else "")
        if not (self.place / to).exists():
            (self.place / name).rename(self.place / to)

    def grow(self):
        """Renamed and appended to between two runs."""
        name = self.pick()
        if name and not name.endswith(".gz"):
            to = self.new_name(date_of(name))
            if not (self.place / to).exists():
                (self.place / name).rename(self.place / to)
                self.write(to, lines_of(self.place / to) + self.lines(2))

    def rotate(self):
        """x goes to a name of its date, and a new x begins."""
        name = self.pick()
        if name and not name.endswith(".gz"):
            to = self.new_name(date_of(name))
            if not (self.place / to).exists():
                (self.place / name).rename(self.place / to)
                self.write(name, self.lines(2))

    def swap(self):
        names = self.names()
        if len(names) >= 2:
            a, b = self.rng.sample(names, 2)
            if a.endswith(".gz") == b.endswith(".gz"):
                (self.place / a).rename(self.place / "aside")
                (self.place / b).rename(self.place / a)
                (self.place / "aside").rename(self.place / b)

    def copy(self):
        name = self.pick()
        if name:
            to = self.new_name() + (".gz" if name.endswith(".gz") else "")
            if not (self.place / to).exists():
                shutil.copy(self.place / name, self.place / to)

    def compress(self):
        name = self.pick()
        if name and not name.endswith(".gz") and not (self.place / (name + ".gz")).exists():
            self.write(name + ".gz", lines_of(self.place / name))
            if self.rng.random() < 0.6:
                (self.place / name).unlink()
            elif self.rng.random() < 0.4:
                path = self.place / (name + ".gz")
                path.write_bytes(path.read_bytes()[:-self.rng.randrange(1, 12)])

    def touch_one(self):
        if name := self.pick():
            self.touch(name)

    def delete(self):
        if (name := self.pick()) and len(self.names()) > 1:
            (self.folder / "trash").mkdir(exist_ok=True)
            shutil.move(self.place / name, self.folder / "trash" / name)

    def bring_back(self):
        trash = self.folder / "trash"
        names = sorted(path.name for path in trash.iterdir()) if trash.exists() else []
        if names:
            name = self.rng.choice(names)
            if not (self.place / name).exists():
                shutil.move(trash / name, self.place / name)

    # ---- what happens around them

    def mount(self):
        """The same folder elsewhere; the old place is no more."""
        to = self.folder / f"mount{self.number}"
        if not to.exists():
            self.place.rename(to)
            self.places[self.here] = to

    def other_folder(self):
        if len(self.places) < 2:
            place = self.folder / "host2"
            place.mkdir()
            self.places.append(place)
            self.here = 1
            self.write(f"only2_{self.rng.choice(DATES)}.json", self.lines(3))
        else:
            self.here = self.rng.choice([n for n in range(len(self.places)) if n != self.here])

    def other_name(self):
        self.name = self.rng.choice(["first", "second"])
        self.write_pipeline()

    def restore(self):
        versions = [v for v in self.states if (self.lake / f"raw/lines/_delta_log/{v:020}.json").exists()]
        if len(versions) < 2:
            return
        version = self.rng.choice(versions[:-1])
        table = deltalake.DeltaTable(str(self.lake / "raw/lines"))
        if version == table.version():
            return
        table.restore(version)
        self.story.append(f"      restored to version {version}")
        self.tables["raw/lines"] = copy.deepcopy(self.states[version])
        now = deltalake.DeltaTable(str(self.lake / "raw/lines")).version()
        self.states[now] = copy.deepcopy(self.states[version])

    def clean_log(self):
        if not self.states:
            return
        for uri in ("raw/lines", "bad/lines"):
            if not (self.lake / uri / "_delta_log").exists():
                continue
            table = deltalake.DeltaTable(str(self.lake / uri))
            table.create_checkpoint()
            for path in (self.lake / uri / "_delta_log").glob("*.json"):
                if path.stem.isdigit() and int(path.stem) < table.version():
                    path.unlink()

    def compact(self):
        """By delta-rs, which puts the rows of several Dates into one file; then perhaps away with the old
        ones, and with the versions that need them."""
        if not self.states:
            return
        for uri in ("raw/lines", "bad/lines"):
            if (self.lake / uri / "_delta_log").exists():
                deltalake.DeltaTable(str(self.lake / uri)).optimize.compact()
        state = copy.deepcopy(self.tables["raw/lines"])
        if self.rng.random() < 0.5:
            for uri in ("raw/lines", "bad/lines"):
                if (self.lake / uri / "_delta_log").exists():
                    deltalake.DeltaTable(str(self.lake / uri)).vacuum(
                        0, dry_run=False, enforce_retention_duration=False)
            self.states.clear()
        self.states[self.version()] = state

    FILES = [(add, 6), (append, 4), (rewrite, 2), (rename, 4), (grow, 2), (rotate, 2), (swap, 1), (copy, 2),
             (compress, 4), (touch_one, 2), (delete, 2), (bring_back, 1)]
    AROUND = [(mount, 2), (other_folder, 2), (other_name, 2), (restore, 3), (clean_log, 2),
              (compact, 1)]

    # ---- runs

    def command(self, *options):
        return [str(self.program.path), "run", "p.yaml", "--var", f"logs={self.place}", "--var",
                f"lake={self.lake}", "--threads", self.rng.choice(["1", "2"]), "--json", *options]

    def start(self, *options, fault=None):
        env = {**os.environ, **({"SMELT_FAULT": fault} if fault else {})}
        return subprocess.Popen(self.command(*options), cwd=self.folder, env=env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self, *options):
        process = self.start(*options)
        out, said = process.communicate(timeout=60)
        self.story.append(f"    run {' '.join(options)}: {process.returncode} {said.strip()}")
        return process.returncode, out, said

    def expect(self, *options):
        """Both tables as a run must leave them, or Refused."""
        wanted = copy.deepcopy(self.tables)
        listed = self.listing(self.place)
        choice = next((option for option in options if option.endswith("-root")), None)
        if not listed:
            raise Refused("no file")
        for books in wanted.values():
            if "--full-refresh" in options:
                books.reload(str(self.place), listed, lists)
            else:
                books.run(str(self.place), listed, lists, choice)
        query = wanted["raw/lines"].query_of(str(self.place), self.name)
        if query not in (None, self.sql) and not {"--full-refresh", "--keep-old"}.intersection(options):
            raise OtherQuery
        return wanted

    def which_root(self):
        """It is the same where that can be meant of one only."""
        of = [(books, books.lost(str(self.place), lists)) for books in self.tables.values()]
        is_clear = all(lost is None or len(books.roots) < 2 or len(lost) == 1 for books, lost in of)
        return "--same-root" if is_clear else "--other-root"

    def run(self):
        options, wanted = [], None
        while wanted is None:
            try:
                wanted = self.expect(*options)
            except Refused as why:
                code, _, said = self.finish(*options)
                assert code == 1, f"{type(why).__name__} {why}: {code} {said}"
                self.check()
                if isinstance(why, WhichRoot):
                    assert "--same-root" in said and "--other-root" in said, said
                    options.append(self.which_root())
                if isinstance(why, OtherQuery):  # since the table was restored
                    assert "--keep-old" in said, said
                    options.append("--keep-old")
                self.mend(why)
        how, before = self.rng.random(), self.version()
        if how < 0.1:
            self.kill(*options)
        elif how < 0.15:
            both = [self.start(*options)]
            if not self.rng.randrange(2):  # a file comes in the meantime
                self.number += 1
                self.write(f"late{self.number}_{self.rng.choice(DATES)}.json", self.lines(3))
                wanted = self.expect(*options)
            both.append(self.start(*options))
            said = [process.communicate(timeout=60)[1] for process in both]
            self.story.append(f"    two at once: {[process.returncode for process in both]}")
            assert all(process.returncode in (0, 4) for process in both), said
        code, out, said = self.finish(*options)
        self.tell(wanted)
        assert code == 0, said
        self.take(wanted, before)
        self.check()
        self.keep_state(json.loads(out))

    def kill(self, *options):
        """At any write, before it or after it."""
        fault = f"at={self.rng.randrange(1, 25)},kind={self.rng.choice(['kill', 'kill_after'])},writes=1"
        process = self.start(*options, fault=fault)
        process.communicate(timeout=60)
        self.story.append(f"    killed: {fault}: {process.returncode}")

    def version(self):
        log = self.lake / "raw/lines/_delta_log"
        return deltalake.DeltaTable(str(self.lake / "raw/lines")).version() if log.exists() else -1

    def take(self, wanted, before):
        """Where nothing was to do no books were written: by whom is not known then."""
        self.tables = wanted
        if self.version() > before:
            wanted["raw/lines"].enter(str(self.place), self.name, self.sql)

    def tell(self, wanted):
        """What is there, and what the model has of it: of the last run."""
        self.scene = [f"{path.name}: {short(lines_of(path))}" for path in sorted(self.place.iterdir())]
        for uri, books in wanted.items():
            self.scene += [f"{uri}: root {number} {root.place}" for number, root in enumerate(books.roots)]
            self.scene += [f"{uri}: has {number} {name}: {short(file.lines)}"
                           for (number, name), file in sorted(books.files.items(), key=by_path)]

    def keep_state(self, report):
        opened = deltalake.DeltaTable(str(self.lake / "raw/lines"))
        self.states[opened.version()] = copy.deepcopy(self.tables["raw/lines"])
        self.story.append(f"      raw.lines is at version {opened.version()}")
        assert report["lines"]["read"] == sum(report["lines"][k] for k in ("kept", "quarantined", "blank"))

    def mend(self, why):
        """Takes away what a run refuses: twins that differ, damaged files, an empty folder; brings back
        what it misses."""
        if isinstance(why, Elsewhere):
            place = pathlib.Path(why.place)
            place.mkdir(exist_ok=True)
            name = why.name
            if name.endswith("?"):  # under another name; which only a run over that folder can see
                self.number += 1
                name = f"back{self.number}_{name.rstrip('?')}"
                if place not in self.places:
                    self.places.append(place)
                self.here = self.places.index(place)
            data = "".join(line + "\n" for line in why.lines).encode()
            (place / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
            return
        found = {path.name: lines_of(path) for path in sorted(self.place.iterdir())}
        for name, lines in found.items():
            plain = name[:-3] if name.endswith(".gz") else None
            if plain and (lines is None or (plain in found and lines != found[plain])):
                (self.place / name).unlink()
        if not self.names():
            self.add()

    def change_sql(self):
        """The next run stops and asks; sometimes all is loaded anew by the new SQL."""
        self.sql = {"id": "id + 0", "id + 0": "id"}[self.sql]
        self.write_pipeline()
        if not self.states or self.rng.random() < 0.5:
            return
        try:
            wanted = self.expect("--full-refresh")
        except Refused:
            wanted = None
        before = self.version()
        if wanted and not self.rng.randrange(3):
            self.kill("--full-refresh", "raw.lines")
        code, out, said = self.finish("--full-refresh", "raw.lines")
        assert code == (1 if wanted is None else 0), said
        if wanted:
            self.take(wanted, before)
            self.keep_state(json.loads(out))
        self.check()

    # ---- what is there

    def stored(self, uri):
        """The lines of a table's rows, as delta-rs reads it."""
        if not (self.lake / uri / "_delta_log").exists():
            return []
        column = "id" if uri == "raw/lines" else "raw"
        table = deltalake.DeltaTable(str(self.lake / uri))
        rows = deltalake.QueryBuilder().register("t", table).execute(f"SELECT {column} FROM t").read_all()
        values = pa.table(rows)[column].to_pylist()
        return [f'{{"id":{v}}}' if column == "id" else v.decode() for v in values]

    def check(self):
        for uri, books in self.tables.items():
            found = collections.Counter(self.stored(uri))
            is_row = uri == "raw/lines"
            wanted = collections.Counter({line: n for line, n in books.rows().items()
                                          if line.startswith("{") == is_row})
            assert found == wanted, (uri, found - wanted, wanted - found)

    def step(self):
        for _ in range(self.rng.choice([1, 1, 1, 2, 3])):
            self.happen(self.FILES)
        if self.rng.random() < 0.2:
            self.happen(self.AROUND)
        if self.rng.random() < 0.04:
            self.story.append("change_sql")
            self.change_sql()
        self.run()
        if self.rng.random() < 0.2:  # the same again does nothing
            code, out, said = self.finish()
            assert code == 0, said
            report = json.loads(out)
            assert report["files"]["read"] == 0, said
            assert all(table["version"] is None for table in report["tables"]), report
            self.check()

    def happen(self, choices):
        what = self.rng.choices([fn for fn, _ in choices], [n for _, n in choices])[0]
        before = set(self.names())
        what(self)
        after = set(self.names())
        self.story.append(f"{what.__name__} -{sorted(before - after)} +{sorted(after - before)}")


def go(world, is_over):
    world.add()
    steps = 0
    try:
        while not is_over(steps):
            world.story.append(f"-- step {steps}")
            world.step()
            steps += 1
    except AssertionError as wrong:
        story = "\n".join(world.story[-int(os.environ.get("STORY", 80)):] + world.scene)
        raise AssertionError(f"SMELT_SEED={SEED}, step {steps}: {wrong}\n{story}") from None
    return steps


def test_operations(program, tmp_path):
    end = time.monotonic() + SECONDS
    steps = go(World(program, tmp_path, SEED), lambda _: time.monotonic() > end)
    print(f"SMELT_SEED={SEED}: {steps} steps")
    assert steps > 5


@pytest.mark.soak
@pytest.mark.parametrize("number", range(4))
def test_operations_for_long(program, tmp_path, number):
    steps = go(World(program, tmp_path, SEED + number), lambda n: n >= STEPS)
    print(f"SMELT_SEED={SEED + number}: {steps} steps")
    assert steps == STEPS
