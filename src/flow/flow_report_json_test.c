/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_report_json_test.c: the text of a report: of nothing, of all that a run can tell, and
 * of a run that failed. */
#include "test.h"

#include "base/time.h"
#include "flow/flow.h"

static void assert_json(const sm_run_report *r, const sm_error *e, const char *want)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_run_report_json(r, e, &w);
    assert_int_equal(w.depth, 0);
    sm_buf_text(&text, (sm_str){"", 1});
    assert_string_equal((const char *)text.data, want);
    sm_buf_release(&text);
}

static void test_nothing(void **state)
{
    assert_json(&(sm_run_report){0}, NULL,
                "{\"lines\":{\"read\":0,\"kept\":0,\"quarantined\":0,\"blank\":0},"
                "\"unknown\":{\"lines\":0,\"paths\":{}},"
                "\"files\":{\"read\":0,\"skipped\":0,\"ignored\":0},"
                "\"missing_days\":[],\"gone\":[],\"moved\":[],\"copies\":[],"
                "\"tables\":[],\"published\":[],\"clustered\":[],\"optimized\":[],\"vacuumed\":[],"
                "\"commands\":[],\"drift\":[],"
                "\"mixed_seconds\":0.000000,\"contracts\":[],"
                "\"network\":{\"requests\":0,\"retries\":0,\"read_bytes\":0,\"written_bytes\":0},"
                "\"seconds\":0.000,\"peak_bytes\":0}");
}

static void test_all(void **state)
{
    int32_t day = 0;
    assert_true(sm_parse_date(SM_STR("2022-04-07"), &day));
    sm_unknown_key unknown[] = {{.path = SM_STR("_a"), .lines = 2}, {SM_STR("_b.c"), 1, 0}};
    sm_str gone[] = {SM_STR("old \"1\".json")};
    sm_moved_file moved[] = {{SM_STR("a.json"), SM_STR("a.json.gz")}};
    sm_copied_file copies[] = {{SM_STR("c.json"), SM_STR("a.json"), true},
                               {SM_STR("d.json"), SM_STR("a.json"), false}};
    const sm_cluster_report clustered = {.version = 5,
                                         .n_removed = 3,
                                         .removed_bytes = 30,
                                         .n_added = 2,
                                         .added_bytes = 20,
                                         .n_rows = 7,
                                         .n_kept = 4,
                                         .n_waiting = 1,
                                         .n_sets = 2};
    const sm_optimize_report optimized = {
        .version = 6, .n_removed = 9, .n_added = 1, .n_rows = 3, .added_bytes = 44};
    const sm_vacuum_report vacuumed = {.n_deleted = 8, .size_bytes = 55};
    sm_command_report commands[] = {{SM_STR("fetch"), 1234567890}};
    const sm_merged merged = {.n_rows = 4, .n_added = 3, .n_changed = 2, .n_deleted = 1};
    const sm_contract_report two = {.json = SM_STR("{\"rule\":\"a\"},{\"rule\":\"b\"}")};
    const sm_contract_report none = {.json = SM_STR("")};
    const sm_contract_report one = {.json = SM_STR("{\"rule\":\"c\"}")};
    const sm_contract_report *contracts[] = {&two, &none, &one};
    sm_table_report tables[] = {
        {.name = SM_STR("silver.view"), .version = -1, .kind = SM_TASK_VIEW},
        {.name = SM_STR("silver.kept"),
         .version = 2,
         .rows = 6,
         .bytes = 60,
         .kind = SM_TASK_TABLE,
         .merged = &merged},
        {.name = SM_STR("silver.same"), .version = -1, .rows = 5, .kind = SM_TASK_TABLE},
        {.name = SM_STR("there"),
         .version = 3,
         .rows = 7,
         .kind = SM_TASK_PUBLISH,
         .server = SM_STR("ClickHouse 26.7.1")},
        {.name = SM_STR("bronze.log:cluster"),
         .version = 5,
         .kind = SM_TASK_CLUSTER,
         .clustered = &clustered},
        {.name = SM_STR("bronze.log:optimize"),
         .version = 6,
         .kind = SM_TASK_OPTIMIZE,
         .optimized = &optimized},
        {.name = SM_STR("bronze.log:vacuum"),
         .version = -1,
         .kind = SM_TASK_VACUUM,
         .vacuumed = &vacuumed},
        {.name = SM_STR("bronze.log"),
         .version = 4,
         .rows = -1,
         .bytes = 99,
         .kind = SM_TASK_LOAD,
         .period = SM_STR("2022-04")},
    };
    const sm_run_report r = {
        .counts = {.lines = 10, .refused = 3, .blank = 2, .unknown_lines = 2},
        .unknown = unknown,
        .n_unknown = 2,
        .files_read = 4,
        .files_skipped = 5,
        .files_ignored = 6,
        .missing_days = &day,
        .n_missing_days = 1,
        .gone_files = gone,
        .n_gone_files = 1,
        .moved_files = moved,
        .n_moved_files = 1,
        .copied_files = copies,
        .n_copied_files = 2,
        .tables = tables,
        .n_tables = SM_COUNT(tables),
        .commands = commands,
        .n_commands = SM_COUNT(commands),
        .contracts = contracts,
        .n_contracts = SM_COUNT(contracts),
        .mixed_ns = 12345678,
        .network = {.requests = 11, .retries = 12, .read_bytes = 13, .written_bytes = 14},
        .wall_ns = 1234567890,
        .peak_bytes = 15,
    };

    assert_json(&r, NULL,
                "{\"lines\":{\"read\":10,\"kept\":5,\"quarantined\":3,\"blank\":2},"
                "\"unknown\":{\"lines\":2,\"paths\":{\"_a\":2,\"_b.c\":1}},"
                "\"files\":{\"read\":4,\"skipped\":5,\"ignored\":6},"
                "\"missing_days\":[\"2022-04-07\"],\"gone\":[\"old \\\"1\\\".json\"],"
                "\"moved\":[{\"from\":\"a.json\",\"to\":\"a.json.gz\"}],"
                "\"copies\":[{\"name\":\"c.json\",\"of\":\"a.json\",\"loaded\":false},"
                "{\"name\":\"d.json\",\"of\":\"a.json\",\"loaded\":true}],"
                "\"tables\":[{\"name\":\"silver.kept\",\"version\":2,\"rows\":6,\"bytes\":60,"
                "\"merged\":{\"rows\":4,\"added\":3,\"changed\":2,\"deleted\":1}},"
                "{\"name\":\"silver.same\",\"version\":null,\"rows\":5,\"bytes\":0},"
                "{\"name\":\"bronze.log\",\"version\":4,\"rows\":null,\"bytes\":99,"
                "\"window\":\"2022-04\"}],"
                "\"published\":[{\"name\":\"there\",\"version\":3,\"rows\":7,"
                "\"server\":\"ClickHouse 26.7.1\"}],"
                "\"clustered\":[{\"name\":\"bronze.log:cluster\",\"version\":5,"
                "\"removed_files\":3,\"removed_bytes\":30,\"added_files\":2,"
                "\"added_bytes\":20,\"rows\":7,\"kept_files\":4,\"waiting_files\":1,\"sets\":2}],"
                "\"optimized\":[{\"name\":\"bronze.log:optimize\",\"version\":6,"
                "\"removed_files\":9,\"added_files\":1,\"added_bytes\":44}],"
                "\"vacuumed\":[{\"name\":\"bronze.log:vacuum\",\"deleted_files\":8,"
                "\"deleted_bytes\":55}],"
                "\"commands\":[{\"name\":\"fetch\",\"seconds\":1.235}],"
                "\"drift\":[],"
                "\"mixed_seconds\":0.012346,"
                "\"contracts\":[{\"rule\":\"a\"},{\"rule\":\"b\"},{\"rule\":\"c\"}],"
                "\"network\":{\"requests\":11,\"retries\":12,\"read_bytes\":13,"
                "\"written_bytes\":14},"
                "\"seconds\":1.235,\"peak_bytes\":15}");
}

static void test_drift(void **state)
{
    sm_key_drift drift[] = {
        {.table = SM_STR("bronze.log"),
         .path = SM_STR("_a"),
         .change = SM_DRIFT_CAME,
         .is = SM_STR("BIGINT"),
         .lines = 2},
        {.table = SM_STR("bronze.log"),
         .path = SM_STR("b"),
         .change = SM_DRIFT_WENT,
         .was = SM_STR("VARCHAR"),
         .lines = 3},
        {.table = SM_STR("bronze.log"),
         .path = SM_STR("c"),
         .change = SM_DRIFT_TYPE,
         .was = SM_STR("BIGINT"),
         .is = SM_STR("mixed"),
         .lines = 4},
    };
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_run_report_json(&(sm_run_report){.drift = drift, .n_drift = SM_COUNT(drift)}, NULL, &w);
    sm_buf_text(&text, (sm_str){"", 1});
    assert_non_null(
        strstr((const char *)text.data,
               "\"drift\":[{\"table\":\"bronze.log\",\"path\":\"_a\",\"change\":\"came\","
               "\"was\":null,\"is\":\"BIGINT\",\"lines\":2},{\"table\":\"bronze.log\","
               "\"path\":\"b\",\"change\":\"went\",\"was\":\"VARCHAR\",\"is\":null,\"lines\":3},"
               "{\"table\":\"bronze.log\",\"path\":\"c\",\"change\":\"type\",\"was\":\"BIGINT\","
               "\"is\":\"mixed\",\"lines\":4}],"));
    sm_buf_release(&text);
}

/* Another smelt completed the publication: for how long is not known. */
static void test_not_known(void **state)
{
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    sm_run_report_json(&(sm_run_report){.mixed_ns = -1}, NULL, &w);
    sm_buf_text(&text, (sm_str){"", 1});
    assert_non_null(strstr((const char *)text.data, ",\"mixed_seconds\":null,"));
    sm_buf_release(&text);
}

static void test_failure(void **state)
{
    sm_error e = {0};
    sm_buf text = {0};
    sm_json_writer w = {.out = &text};

    assert_int_equal(sm_fail(&e, SM_CONFLICT, "another writer won"), SM_CONFLICT);
    sm_run_report_json(&(sm_run_report){0}, &e, &w);
    sm_buf_text(&text, (sm_str){"", 1});
    assert_non_null(
        strstr((const char *)text.data, "\"peak_bytes\":0,\"error\":{\"status\":\"CONFLICT\","));
    sm_buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing), cmocka_unit_test(test_all),
        cmocka_unit_test(test_drift),   cmocka_unit_test(test_not_known),
        cmocka_unit_test(test_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
