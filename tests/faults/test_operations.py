"""Random everyday operations on the files of a source and on its table, each followed by a run.
After every run each row, and each refused line, is there exactly as often as it should be.

Operations    Files are added, appended to, rewritten, renamed (to the same or another date), rotated,
              swapped, copied, compressed (with and without the original), touched, deleted and
              restored. The folder moves; there is a second folder. The pipeline gets another name, its
              SQL changes. The table is restored by delta-rs, its log cleaned up, its files compacted
              and vacuumed. Runs are killed at any write, and two run at once, also while a file
              arrives.
By the seed   the policies for copies and for files that are gone, and whether a run is for one of three
              months. If a policy refuses a run, the cause is undone, or another policy is used once.
The model     `Books` below: the rules by which a load knows its files, written a second time in the
              simplest way, over the lines of the files. Every line has its own number, so equal
              contents are always copies.
SMELT_SEED repeats a run. STORY (80) is how many lines of history are printed before a failure.
OPERATIONS_SECONDS (20) is the duration in `make test`; `make soak` does OPERATIONS_STEPS (1000) steps
for each of several seeds."""
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
DATES = ["20240105", "20240106", "20240207", "20240208", "20240309"]
MONTHS = sorted({date[:6] for date in DATES})

PIPELINE = """\
name: {name}
vars:
  logs: {{type: uri, default: ./logs}}
  lake: {{type: uri, default: ./lake}}
  month: {{type: month}}
lake: lake
sources:
  - {{name: logs, match: '[.]json(.gz)?$', quarantine: bad.lines, copies: {copies}, gone: {gone}{window}}}
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


class NotAllowed(Refused):
    """By a policy, whose name is `key`: the first of such files is `name`."""

    def __init__(self, key, name, lines):
        super().__init__(f"{key}: {name}")
        self.key, self.name, self.lines = key, name, lines


class OtherQuery(Refused):
    """The rows were loaded by other SQL."""


class WhichRoot(Refused):
    """Only the user can know whether the folder is one that is known."""


class Elsewhere(Refused):
    """Rows of another root's file leave, which is not there to be read again, or not whole, or whose path
    is another file's by now."""

    def __init__(self, place, name, lines):
        super().__init__(f"{place}/{name}")
        self.place, self.name, self.lines = place, name, lines


class Root:
    """A folder that was loaded: where it lies, by which pipeline and SQL its rows came last."""

    def __init__(self):
        self.place = self.pipeline = self.query = None


class Load:
    """What a run is given: {name: lines} of a folder, of compressed files what is in them; a month, or
    None; the source's policies."""

    def __init__(self, place, listed, month, copies, gone):
        self.place, self.listed, self.month, self.copies, self.gone = place, listed, month, copies, gone

    def has(self, date):
        return self.month is None or date.startswith(self.month)

    def inside(self):
        return {name: lines for name, lines in self.listed.items() if self.has(date_of(name))}

    def outside(self):
        return {name: lines for name, lines in self.listed.items() if not self.has(date_of(name))}


class Books:
    """What one table holds. Roots are known by number; files by (root, name). A file whose rows are there
    but whose path is another file's by now has a name that ends in `?`."""

    def __init__(self, by_date):
        self.by_date = by_date  # are rows replaced by Dates, those of all roots?
        self.has_gone = False  # at the last run, also such whose rows leave then
        self.roots = []
        self.files = {}  # (root, name) -> File

    def rows(self):
        return collections.Counter(line for file in self.files.values() if file.lines
                                   for line in file.lines)

    # ---- whose folder it is

    def lost(self, place, lists):
        """Roots that may be this folder's, since they do not list any more; None where the place tells."""
        places = [root.place for root in self.roots]
        return None if place in places else [n for n, other in enumerate(places) if not lists(other)]

    def seen_of(self, n, listed):
        """Of the names that root n has too: was there what is there?"""
        return {name: self.files[n, name].seen == lines for name, lines in listed.items()
                if (n, name) in self.files and self.files[n, name].seen}

    def is_unclear(self, load, lists):
        """Files outside the window are not opened: whether they are those of a root is not sure."""
        return self.lost(load.place, lists) is not None and any(
            False in self.seen_of(n, load.outside()).values() for n in range(len(self.roots)))

    def root_of(self, load, lists, choice):
        lost = self.lost(load.place, lists)
        if lost is None:
            return [root.place for root in self.roots].index(load.place)
        number = len(self.roots)
        if choice == "--same-root":
            number = lost[0] if len(self.roots) > 1 else 0
        elif choice is None:
            both = [self.seen_of(n, load.listed) for n in range(len(self.roots))]
            differ = {n for n, seen in enumerate(both) if False in seen.values()}
            equal = {n: len(seen) for n, seen in enumerate(both) if seen and n not in differ}
            if equal:  # the one with most of them
                number = max(equal, key=lambda n: (equal[n], -n))
            elif len(lost) > 1 or differ.intersection(lost):
                raise WhichRoot
            elif lost:
                number = lost[0]
        if number == len(self.roots):
            self.roots.append(Root())
        self.roots[number].place = load.place
        return number

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

    # ---- which file is which

    def stand(self, listed, known):
        """Which files stand for themselves and their twins, and which are passed over: of two that are
        whole the one whose rows are there, else the plain one."""
        found = dict(listed)
        for name in listed:
            plain = name[:-3]
            if name.endswith(".gz") and plain in listed:
                if None not in (listed[plain], listed[name]) and listed[plain] != listed[name]:
                    raise Refused("twins differ")
                has = [other for other in (plain, name)
                       if other in known and known[other].lines == listed[other] is not None]
                del found[plain if has == [name] else name]
        if None in found.values():
            raise Refused("damaged")
        return found, {name: lines for name, lines in listed.items() if name not in found}

    def run(self, load, lists, choice=None, is_reload=False):
        root = self.root_of(load, lists, choice)
        known = {name: file for (number, name), file in sorted(self.files.items(), key=by_path)
                 if number == root}
        away = {name: known.pop(name) for name in load.outside() if name in known}  # not judged
        found, passed = self.stand(load.inside(), known)
        taken = {}  # name now -> its File
        dates = set()  # to be replaced
        left = self.find_moved(found, passed, known, taken, dates)
        left = self.find_grown(left, passed, known, taken, dates)
        new = set()
        take_rest(left, known, taken, new, dates)
        self.find_gone(load, passed, known, dates)
        opened = {name: lines for name, lines in load.outside().items() if date_of(name) in dates
                  or (is_reload and name in away and away[name].lines is not None)}
        found, more = self.stand(opened, away)
        passed.update(more)
        take_rest(found, away, taken, new, dates)
        known.update({name: away.pop(name) for name in more if name in away})
        for file in known.values():  # gone, and loaded anew without it
            if file.date in dates:
                file.lines = None
        now = self.others(root, dates, is_reload)
        owners = [*away.values(), *(file for file in known.values() if not load.has(file.date)),
                  *(file for name, file in taken.items() if name not in new)]
        contents = [file.lines for file in owners]
        contents += [lines for key, lines in now.items() if lines == self.files[key].lines]
        self.find_copies(load, contents, taken, new, passed)
        others = {key: file for key, file in self.files.items() if key[0] != root}
        for (number, name), lines in now.items():
            file = others[number, name]
            if (self.by_date or is_reload) and lines != file.lines:
                if lines is None:
                    raise Elsewhere(self.roots[number].place, name, file.lines)
                others[number, name] = File(file.date, lines)
        for name in passed:  # another file stands for what its path had
            known[name] = File(date_of(name), None, passed[name])
        self.files = {**others, **{(root, name): file for name, file in {**away, **taken}.items()}}
        for name, file in known.items():  # another known one may have moved onto its path
            if name in passed or not (file.is_passed and load.has(file.date)):
                while (root, name) in self.files:
                    name += "?"
                self.files[root, name] = file

    def find_moved(self, found, passed, known, taken, dates):
        """The same, then moved: first those whose rows stay as they are."""
        for name, lines in found.items():
            if name in known and known[name].lines == lines:
                taken[name] = known.pop(name)
        left = {name: lines for name, lines in found.items() if name not in taken}
        for within_date in (True, False):
            for name, lines in left.items():
                olds = [old for old, file in known.items() if lines and file.lines == lines
                        and passed.get(old) != lines and (file.date == date_of(name) or not within_date)]
                if olds and name not in taken:
                    file = known.pop(olds[0])
                    if file.date != date_of(name):
                        dates |= {file.date, date_of(name)}
                        file = File(date_of(name), lines)
                    taken[name] = file
        return {name: lines for name, lines in left.items() if name not in taken}

    def find_grown(self, left, passed, known, taken, dates):
        """Of what is nowhere: its path is gone or another's."""
        for name, lines in left.items():
            olds = [old for old, file in known.items() if old not in left and old not in passed
                    and file.lines and lines[:len(file.lines)] == file.lines]
            if olds and (name not in known or known[name].lines is None):
                olds.sort(key=lambda old: known[old].date)
                file = known.pop(max(olds, key=lambda old: (len(known[old].lines),
                                                            known[old].date == date_of(name))))
                dates |= {file.date, date_of(name)}
                taken[name] = File(date_of(name), lines)
        return {name: lines for name, lines in left.items() if name not in taken}

    def find_gone(self, load, passed, known, dates):
        """Of the window; a twin's path is not gone, but has other rows now."""
        gone = {name: file for name, file in known.items() if file.lines is not None and load.has(file.date)}
        self.has_gone = bool(gone) or any(file.lines is not None for file in known.values())
        missed = [name for name in gone if name not in passed]
        if missed and load.gone == "fail":
            raise NotAllowed("gone", missed[0], gone[missed[0]].lines)
        for name, file in gone.items():
            if name in passed or load.gone == "remove":
                if file.lines:
                    dates.add(file.date)
                file.lines = None

    def find_copies(self, load, contents, taken, new, passed):
        """New files with the content of one that stays or comes: where they are not to be loaded."""
        for name in sorted(new):
            lines = taken[name].lines
            if lines and lines in contents and load.copies == "fail":
                raise NotAllowed("copies", name, lines)
            if lines and lines in contents and load.copies == "skip":
                passed[name] = taken.pop(name).lines
            contents.append(lines)

    def others(self, root, dates, is_reload):
        """What files of other roots have: where their rows leave as they are now; None: nothing whole."""
        out = {}
        for (number, name), file in self.files.items():
            if number != root:
                out[number, name] = file.lines
                path = pathlib.Path(self.roots[number].place) / name
                if file.lines and (is_reload or file.date in dates):
                    out[number, name] = lines_of(path) if path.exists() else None
        return out

    def reload(self, load, lists):
        """--full-refresh: of all roots, their files being there; those of this one renamed or not, those
        outside the window as they are. All that was ever loaded, so it goes by the books written last,
        whatever was restored since."""
        self.run(load, lists, is_reload=True)
        if self.has_gone:
            raise Refused("files are gone")


def take_rest(left, known, taken, new, dates):
    """Changed, or new (a copy is new too)."""
    for name, lines in left.items():
        old = known.pop(name, None)
        taken[name] = File(date_of(name), lines)
        if old and old.lines is not None:
            dates.add(old.date)
        else:
            new.add(name)


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
        self.policies = {"copies": self.rng.choice(["keep", "skip", "fail"]),
                         "gone": self.rng.choice(["keep", "remove", "fail"])}
        self.month = self.rng.choice([None, MONTHS[0]])  # that of the run; None: all files
        self.tables = {"bad/lines": Books(False), "raw/lines": Books(True)}  # in the order of a run
        self.newest = self.tables["raw/lines"]  # the Books written last, whatever was restored since
        self.states = {}  # version of raw.lines -> its Books then
        self.story, self.scene = [], []
        self.write_pipeline()

    def write_pipeline(self):
        (self.folder / "p.yaml").write_text(PIPELINE.format(
            name=self.name, window=", window: month" if self.month else "", **self.policies))
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
        month = self.month or MONTHS[0]
        return [str(self.program.path), "run", "p.yaml", "--var", f"logs={self.place}", "--var",
                f"lake={self.lake}", "--var", f"month={month[:4]}-{month[4:]}", "--threads",
                self.rng.choice(["1", "2"]), "--json", *options]

    def start(self, *options, fault=None):
        env = {**os.environ, **({"SMELT_FAULT": fault} if fault else {})}
        return subprocess.Popen(self.command(*options), cwd=self.folder, env=env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self, *options):
        process = self.start(*options)
        out, said = process.communicate(timeout=60)
        what = " ".join(["run", self.month or "", *options])
        self.story.append(f"    {what}: {process.returncode} {said.strip()}")
        return process.returncode, out, said

    def load(self):
        listed = {path.name: lines_of(path) for path in sorted(self.place.iterdir())}
        return Load(str(self.place), listed, self.month, **self.policies)

    def expect(self, *options):
        """Both tables as a run must leave them, or Refused."""
        wanted = copy.deepcopy(self.tables)
        load = self.load()
        choice = next((option for option in options if option.endswith("-root")), None)
        if not load.inside():
            raise Refused("no file")
        if "--full-refresh" in options:
            wanted["raw/lines"] = copy.deepcopy(self.newest)
        for books in wanted.values():
            if "--full-refresh" in options:
                books.reload(load, lists)
            else:
                books.run(load, lists, choice)
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
        options, wanted, policies = [], None, dict(self.policies)
        self.month = self.month and self.rng.choice(MONTHS)
        if any(books.is_unclear(self.load(), lists) for books in self.tables.values()):
            options.append(self.which_root())
        while wanted is None:
            try:
                wanted = self.expect(*options)
            except Refused as why:
                self.refuse(why, options)
        self.run_well(wanted, options)
        if self.rng.random() < 0.2:
            self.run_again()
        if self.policies != policies:
            self.policies = policies
            self.write_pipeline()

    def refuse(self, why, options):
        """Runs, which must change nothing; then sees to it that the next one is not refused for that."""
        versions = [self.version(uri) for uri in self.tables]
        code, _, said = self.finish(*options)
        assert code == 1, f"{type(why).__name__} {why}: {code} {said}"
        assert versions == [self.version(uri) for uri in self.tables], said
        self.check()
        if isinstance(why, WhichRoot):
            assert "--same-root" in said and "--other-root" in said, said
            options.append(self.which_root())
        elif isinstance(why, OtherQuery):  # since the table was restored
            assert "--keep-old" in said, said
            options.append("--keep-old")
        elif isinstance(why, NotAllowed):
            assert f'"{why.name.rstrip("?")}"' in said and f"{why.key}: keep" in said, (why, said)
            self.allow(why)
        else:
            self.mend(why)

    def allow(self, why):
        """What a policy refuses is undone, or the policy is another one."""
        others = {"copies": ["keep", "skip"], "gone": ["keep", "remove"]}[why.key]
        path = self.place / why.name
        if self.rng.random() < 0.5 or why.name.endswith("?"):
            self.policies[why.key] = self.rng.choice(others)
            self.write_pipeline()
        elif why.key == "copies":
            path.unlink()
        else:
            self.write(why.name, why.lines)
        self.story.append(f"    undone: {why}, or {self.policies}")

    def run_well(self, wanted, options):
        how, before = self.rng.random(), self.version()
        if how < 0.1:
            self.kill(*options)
        elif how < 0.15:
            both = [self.start(*options)]
            if not self.rng.randrange(2):  # a file comes in the meantime
                self.number += 1
                dates = [date for date in DATES if date.startswith(self.month or "")]
                self.write(f"late{self.number}_{self.rng.choice(dates)}.json", self.lines(3))
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

    def run_again(self):
        """Which does nothing."""
        code, out, said = self.finish()
        assert code == 0, said
        report = json.loads(out)
        assert report["files"]["read"] == 0, said
        assert all(table["version"] is None for table in report["tables"]), report
        self.check()

    def kill(self, *options):
        """At any write, before it or after it."""
        fault = f"at={self.rng.randrange(1, 25)},kind={self.rng.choice(['kill', 'kill_after'])},writes=1"
        process = self.start(*options, fault=fault)
        process.communicate(timeout=60)
        self.story.append(f"    killed: {fault}: {process.returncode}")

    def version(self, uri="raw/lines"):
        log = self.lake / uri / "_delta_log"
        return deltalake.DeltaTable(str(self.lake / uri)).version() if log.exists() else -1

    def take(self, wanted, before):
        """Where nothing was to do no books were written: by whom is not known then."""
        self.tables = wanted
        self.newest = wanted["raw/lines"]
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
                self.month = self.month and date_of(name)[:6]
            data = "".join(line + "\n" for line in why.lines).encode()
            (place / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
            return
        found = {path.name: lines_of(path) for path in sorted(self.place.iterdir())}
        for name, lines in found.items():
            plain = name[:-3] if name.endswith(".gz") else None
            if plain and (lines is None or (plain in found and lines != found[plain])):
                (self.place / name).unlink()
        if not self.load().inside():
            date = self.rng.choice([date for date in DATES if self.load().has(date)])
            self.write(self.new_name(date), self.lines(2))

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
            for root in wanted["raw/lines"].roots:
                root.query = self.sql
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
