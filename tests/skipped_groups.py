"""The viewing log of ten days as a Delta table, before and after it is clustered, for tests of how much a query
on one customer leaves out. Made by smelt alone, so that an environment with only Spark can use it too."""
from common import ROOT

DAYS, ROWS, GROUP_ROWS = 10, 12_000, 1_000  # lines of a day; rows of a row group, so that there are many
LEAST_SKIPPED = 0.9  # of all row groups, once the table is clustered


class ViewingLog:
    """uri: the table, a file for each day. contract: a customer of every day, with so many rows and seconds."""

    def __init__(self, program, folder):
        self.program, self.uri = program, folder / "lake" / "bronze" / "viewing_log"
        program("generate", "logs", folder / "logs", "--days", DAYS, "--rows", ROWS, "--contracts", 5000, "--seed", 6)
        program("run", ROOT / "pipelines/customer360/delta.yaml", "--task", "bronze.viewing_log", "--var",
                f"logs={folder}/logs", "--var", f"lake={folder}/lake", "--var", "month=2022-04")
        found = program.sql(f'SELECT Contract, count(*) AS n, sum(TotalDuration) AS s FROM \'{self.uri}\' '
                            f'GROUP BY Contract HAVING count(DISTINCT "Date") = {DAYS} ORDER BY Contract')
        self.contract, self.rows, self.seconds = found[len(found) // 2].values()

    def cluster(self):
        """Row groups of GROUP_ROWS in several files."""
        self.program("table", "alter", self.uri, f"SET TBLPROPERTIES ('smelt.rowGroupRows' = '{GROUP_ROWS}', "
                     "'delta.targetFileSize' = '100000')")
        self.program("table", "cluster", self.uri, "--by", "Date,Contract")
