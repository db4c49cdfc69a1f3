/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_yaml.c: reads a pipeline from its YAML file and the SQL files beside it. Called by
 * sm_pipeline_open (flow_pipeline.c).
 *
 * Method   base/yaml.h makes a tree. Each mapping is read by the list of keys that it may have; any
 *          other key is an error at its place, with the nearest key. All values are text.
 * Refused  aliases, and a second document. */
#include <string.h>

#include "base/text.h"
#include "flow/flow_int.h"

#define MAX_YAML_BYTES ((size_t)1 << 20)
#define MAX_SQL_BYTES  ((size_t)1 << 20)
#define MAX_RETRIES    100
#define SECOND_US      INT64_C(1000000)
#define RETRY_US       INT64_C(30000000) /* the wait before a retry, if the file says none */

/* ---- places --------------------------------------------------------------------------------- */

sm_status smi_flow_at(const sm_pipeline *p, sm_yaml_place at, sm_status st, sm_error *e)
{
    return sm_yaml_at(&p->yaml, at, st, e);
}

/* ---- names ---------------------------------------------------------------------------------- */

static bool is_word(sm_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || (c == '-' && i > 0))) {
            return false;
        }
    }
    return s.len > 0 && s.len <= 128;
}

/* A table's name is layer.table; both become folders. */
static sm_status check_table_name(const sm_pipeline *p, sm_str name, sm_yaml_place at, sm_error *e)
{
    const char *dot = memchr(name.data, '.', name.len);
    const size_t layer = dot ? (size_t)(dot - name.data) : 0;

    if (dot && is_word((sm_str){name.data, layer}) &&
        is_word((sm_str){dot + 1, name.len - layer - 1})) {
        return SM_OK;
    }
    const sm_status st = sm_fail(e, SM_NAME, "\"%.*s\" is not a table name", SM_STR_ARG(name));
    sm_error_todo(e, "Write layer.table, of letters, digits and _.");
    return smi_flow_at(p, at, st, e);
}

/* The same of a name that becomes the folder of a table. */
static sm_status check_new_table(const sm_pipeline *p, sm_str name, sm_yaml_place at, sm_error *e)
{
    SM_TRY(check_table_name(p, name, at, e));
    return smi_flow_at(p, at, sm_table_check_name(name, e), e);
}

static int32_t find_var(const sm_pipeline *p, sm_str name)
{
    for (int32_t i = 0; i < p->n_vars; i++) {
        if (sm_str_eq(p->vars[i].name, name)) {
            return i;
        }
    }
    return -1;
}

/* The variable of that name; SM_NAME with the nearest name. */
static sm_status want_var(const sm_pipeline *p, sm_str name, sm_yaml_place at, int32_t *out,
                          sm_error *e)
{
    *out = find_var(p, name);
    if (*out >= 0) {
        return SM_OK;
    }
    sm_str *names = SM_NEW_ARRAY(p->arena, sm_str, p->n_vars);
    for (int32_t i = 0; i < p->n_vars; i++) {
        names[i] = p->vars[i].name;
    }
    const sm_status st = sm_fail(e, SM_NAME, "no variable \"%.*s\" under vars", SM_STR_ARG(name));
    const char *near = sm_nearest_name(name, names, p->n_vars);
    if (near) {
        sm_error_todo(e, "Did you mean \"%s\"?", near);
    } else {
        sm_error_todo(e, "Name a variable here. What it is stands under vars, like "
                         "lake: {type: uri, default: ./lake}.");
    }
    return smi_flow_at(p, at, st, e);
}

/* ---- the parts ------------------------------------------------------------------------------ */

/* A value, or {env: NAME}. A secret must be the latter. */
static sm_status read_setting(const sm_pipeline *p, const sm_yaml_fields *f, int key,
                              bool is_secret, smi_flow_setting *out, sm_error *e)
{
    static const char *const keys[] = {"env", NULL};
    sm_yaml_fields env;

    out->at = f->places[key];
    if (f->values[key]->type == SM_YAML_MAP) {
        out->is_env = true;
        SM_TRY(sm_yaml_fields_read(&p->yaml, f->values[key], f->keys[key], keys, &env, e));
        return sm_yaml_fields_text(&p->yaml, &env, 0, f->keys[key], true, &out->text, e);
    }
    if (is_secret) {
        const sm_status st =
            sm_fail(e, SM_INVALID, "%s: a secret must not stand in a pipeline file", f->keys[key]);
        sm_error_todo(e, "Write %s: {env: NAME}, with the environment variable that holds it.",
                      f->keys[key]);
        return smi_flow_at(p, out->at, st, e);
    }
    return sm_yaml_fields_text(&p->yaml, f, key, f->keys[key], true, &out->text, e);
}

#define KEY_OF(id, key, server, variable, is_secret)    key,
#define SERVER_OF(id, key, server, variable, is_secret) SMI_SERVER_##server,
#define SECRET_OF(id, key, server, variable, is_secret) is_secret,

static sm_status read_connection(const sm_pipeline *p, const sm_yaml *map, smi_flow_connection *c,
                                 sm_error *e)
{
    static const char *const keys[] = {SMI_FLOW_SETTINGS(KEY_OF) "s3", "clickhouse", NULL};
    static const smi_flow_server servers[] = {SMI_FLOW_SETTINGS(SERVER_OF)};
    static const bool are_secret[] = {SMI_FLOW_SETTINGS(SECRET_OF)};
    _Static_assert(SM_COUNT(keys) == SMI_N_SETTINGS + 3 && SM_COUNT(keys) <= SM_YAML_KEYS + 1,
                   "the settings, then one key a server");
    _Static_assert(SMI_SERVER_S3 == 0 && SMI_SERVER_CLICKHOUSE == 1, "in the order of their keys");
    sm_yaml_fields f;

    SM_TRY(sm_yaml_fields_read(&p->yaml, map, "a connection", keys, &f, e));
    if (f.has[SMI_N_SETTINGS] == f.has[SMI_N_SETTINGS + 1]) {
        return smi_flow_at(
            p, f.at, sm_fail(e, SM_SYNTAX, "a connection needs exactly one of s3 and clickhouse"),
            e);
    }
    c->server = f.has[SMI_N_SETTINGS] ? SMI_SERVER_S3 : SMI_SERVER_CLICKHOUSE;
    const int name = SMI_N_SETTINGS + (int)c->server;
    SM_TRY(sm_yaml_fields_text(&p->yaml, &f, name, "a connection", true, &c->name, e));
    if (!is_word(c->name)) {
        return smi_flow_at(
            p, sm_yaml_place_of(f.values[name]),
            sm_fail(e, SM_NAME, "\"%.*s\" is not a connection name", SM_STR_ARG(c->name)), e);
    }
    for (int i = 0; i < SMI_N_SETTINGS; i++) {
        if (f.has[i] && servers[i] != c->server) {
            return smi_flow_at(p, f.places[i],
                               sm_fail(e, SM_SYNTAX, "%s is for %s only", keys[i],
                                       keys[SMI_N_SETTINGS + servers[i]]),
                               e);
        }
        SM_TRY(f.has[i] ? read_setting(p, &f, i, are_secret[i], &c->settings[i], e) : SM_OK);
    }
    const bool is_placed = c->server == SMI_SERVER_S3 || f.has[SMI_SETTING_URL];
    return is_placed ? SM_OK
                     : smi_flow_at(p, f.at, sm_fail(e, SM_SYNTAX, "a connection has no url"), e);
}

static sm_status read_connections(sm_pipeline *p, const sm_yaml *list, sm_yaml_place at,
                                  sm_error *e)
{

    SM_TRY(sm_yaml_want(&p->yaml, list, at, SM_YAML_LIST, "connections", e));
    p->connections = SM_NEW_ARRAY(p->arena, smi_flow_connection, list->n_children);
    for (const sm_yaml *item = list->child; item; item = item->next) {
        smi_flow_connection *c = &p->connections[p->n_connections];
        SM_TRY(read_connection(p, item, c, e));
        for (int32_t i = 0; i < p->n_connections; i++) {
            if (sm_str_eq_nocase(p->connections[i].name, c->name)) {
                return smi_flow_at(
                    p, sm_yaml_place_of(item),
                    sm_fail(e, SM_EXISTS, "two connections are called %.*s", SM_STR_ARG(c->name)),
                    e);
            }
        }
        p->n_connections++;
    }
    return SM_OK;
}

/* The connection of that name to such a server; SM_NAME with the nearest name. */
static sm_status want_connection(const sm_pipeline *p, sm_str name, smi_flow_server server,
                                 sm_yaml_place at, int32_t *out, sm_error *e)
{
    sm_str *names = SM_NEW_ARRAY(p->arena, sm_str, p->n_connections);
    int32_t n = 0;

    for (int32_t i = 0; i < p->n_connections; i++) {
        if (p->connections[i].server == server) {
            names[n++] = p->connections[i].name;
            if (sm_str_eq_nocase(p->connections[i].name, name)) {
                *out = i;
                return SM_OK;
            }
        }
    }
    const sm_status st = sm_fail(e, SM_NAME, "no connection \"%.*s\" to %s under connections",
                                 SM_STR_ARG(name), server == SMI_SERVER_S3 ? "s3" : "clickhouse");
    const char *near = sm_nearest_name(name, names, n);
    if (near) {
        sm_error_todo(e, "Did you mean \"%s\"?", near);
    }
    return smi_flow_at(p, at, st, e);
}

static sm_status read_var_type(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_var *v,
                               sm_error *e)
{
    static const sm_str types[] = {
        [SMI_VAR_URI] = {"uri", 3},         [SMI_VAR_TEXT] = {"text", 4},
        [SMI_VAR_MONTH] = {"month", 5},     [SMI_VAR_DATE] = {"date", 4},
        [SMI_VAR_INTEGER] = {"integer", 7},
    };
    _Static_assert(SM_COUNT(types) == SMI_VAR_INTEGER + 1, "a name for each type");
    sm_str type = SM_STR("text");

    SM_TRY(sm_yaml_fields_text(&p->yaml, f, 0, "a variable", false, &type, e));
    for (int i = 0; i < SM_COUNT(types); i++) {
        if (sm_str_eq(types[i], type)) {
            v->type = (smi_flow_var_type)i;
            return SM_OK;
        }
    }
    const sm_status st = sm_fail(e, SM_NAME, "variables have no type \"%.*s\"", SM_STR_ARG(type));
    const char *near = sm_nearest_name(type, types, SM_COUNT(types));
    if (near) {
        sm_error_todo(e, "Did you mean \"%s\"?", near);
    } else {
        sm_error_todo(e, "Types are uri, text, month, date and integer.");
    }
    return smi_flow_at(p, sm_yaml_place_of(f->values[0]), st, e);
}

static sm_status read_var(const sm_pipeline *p, const sm_yaml *map, smi_flow_var *v, sm_error *e)
{
    static const char *const keys[] = {"type", "default", "help", "connection", NULL};
    sm_yaml_fields f;
    sm_str connection = {0};

    v->connection = -1;
    SM_TRY(sm_yaml_want(&p->yaml, map, v->at, SM_YAML_MAP, v->name.data, e));
    SM_TRY(sm_yaml_fields_read(&p->yaml, map, "a variable", keys, &f, e));
    SM_TRY(read_var_type(p, &f, v, e));
    SM_TRY(sm_yaml_fields_text(&p->yaml, &f, 1, "a variable", false, &v->default_text, e));
    v->has_default = f.has[1];
    SM_TRY(sm_yaml_fields_text(&p->yaml, &f, 2, "a variable", false, &v->help, e));
    SM_TRY(sm_yaml_fields_text(&p->yaml, &f, 3, "a variable", false, &connection, e));
    if (f.has[3] && v->type != SMI_VAR_URI) {
        return smi_flow_at(p, f.places[3],
                           sm_fail(e, SM_TYPE, "%.*s has a connection and is not of type uri",
                                   SM_STR_ARG(v->name)),
                           e);
    }
    return f.has[3] ? want_connection(p, connection, SMI_SERVER_S3, sm_yaml_place_of(f.values[3]),
                                      &v->connection, e)
                    : SM_OK;
}

static sm_status read_vars(sm_pipeline *p, const sm_yaml *map, sm_yaml_place at, sm_error *e)
{

    SM_TRY(sm_yaml_want(&p->yaml, map, at, SM_YAML_MAP, "vars", e));
    p->vars = SM_NEW_ARRAY(p->arena, smi_flow_var, map->n_children);
    for (const sm_yaml *pair = map->child; pair; pair = pair->next) {
        smi_flow_var *v = &p->vars[p->n_vars];
        SM_TRY(sm_yaml_text(&p->yaml, pair->key, "a variable's name", &v->name, e));
        v->at = sm_yaml_place_of(pair->key);
        if (!is_word(v->name)) {
            return smi_flow_at(
                p, v->at,
                sm_fail(e, SM_NAME, "\"%.*s\" is not a variable name", SM_STR_ARG(v->name)), e);
        }
        SM_TRY(read_var(p, pair, v, e));
        p->n_vars++;
    }
    return SM_OK;
}

/* A policy: keep (the default), fail, or the one that `takes` adds. */
static sm_status read_policy(sm_pipeline *p, const sm_yaml_fields *f, int key, const char *name,
                             unsigned takes, sm_policy *out, sm_error *e)
{
    sm_str word = {0};

    *out = SM_POLICY_KEEP;
    SM_TRY(sm_yaml_fields_text(&p->yaml, f, key, "a source", false, &word, e));
    if (!f->has[key]) {
        return SM_OK;
    }
    takes |= SM_TAKES(SM_POLICY_KEEP) | SM_TAKES(SM_POLICY_FAIL);
    const sm_status st = sm_policy_parse(name, word, takes, out, e);
    const sm_yaml_place at = sm_yaml_place_of(f->values[key]); /* no place if the value is empty */
    return st == SM_OK ? st : smi_flow_at(p, at.line > 0 ? at : f->places[key], st, e);
}

/* A length of time, like 30 days; *us stays as it is where the key is missing. */
sm_status smi_flow_yaml_duration(const sm_pipeline *p, const sm_yaml_fields *f, int key,
                                 int64_t least_us, int64_t *us, sm_error *e)
{
    sm_str text = {0};

    SM_TRY(sm_yaml_fields_text(&p->yaml, f, key, "a duration", f->has[key], &text, e));
    if (!f->has[key] || (sm_parse_duration(text, us) && *us >= least_us)) {
        return SM_OK;
    }
    return smi_flow_at(p, sm_yaml_place_of(f->values[key]),
                       sm_fail(e, SM_INVALID,
                               "%s is a time like \"30 days\", \"12 hours\" or \"90s\", not "
                               "\"%.*s\"",
                               f->keys[key], SM_STR_ARG(text)),
                       e);
}

static sm_status read_source(sm_pipeline *p, const sm_yaml *map, smi_flow_source *s, sm_error *e)
{
    static const char *const keys[] = {"name",    "match", "window", "quarantine", "copies", "gone",
                                       "unknown", "watch", "poll",   "settle",     NULL};
    sm_yaml_fields f;
    sm_str period = {0};

    SM_TRY(sm_yaml_fields_read(&p->yaml, map, "a source", keys, &f, e));
    s->at = f.at;
    s->period = -1;
    SM_TRY(sm_yaml_fields_text(&p->yaml, &f, 0, "a source", true, &s->name, e));
    SM_TRY(want_var(p, s->name, sm_yaml_place_of(f.values[0]), &s->var, e));
    SM_TRY(sm_yaml_fields_text(&p->yaml, &f, 1, "a source", false, &s->match, e));
    SM_TRY(sm_yaml_fields_text(&p->yaml, &f, 2, "a source", false, &period, e));
    if (f.has[2]) {
        SM_TRY(want_var(p, period, sm_yaml_place_of(f.values[2]), &s->period, e));
        if (p->vars[s->period].type != SMI_VAR_MONTH) {
            return smi_flow_at(
                p, sm_yaml_place_of(f.values[2]),
                sm_fail(e, SM_TYPE, "the window \"%.*s\" is not of type month", SM_STR_ARG(period)),
                e);
        }
    }
    SM_TRY(read_policy(p, &f, 4, keys[4], SM_TAKES(SM_POLICY_SKIP), &s->copies, e));
    SM_TRY(read_policy(p, &f, 5, keys[5], SM_TAKES(SM_POLICY_REMOVE), &s->gone, e));
    s->has_unknown = f.has[6];
    SM_TRY(read_policy(p, &f, 6, keys[6], SM_TAKES(SM_POLICY_IGNORE), &s->unknown, e));
    SM_TRY(smi_flow_yaml_watch(p, &f, 7, s, e));
    SM_TRY(sm_yaml_fields_text(&p->yaml, &f, 3, "a source", false, &s->quarantine, e));
    return f.has[3] ? check_new_table(p, s->quarantine, sm_yaml_place_of(f.values[3]), e) : SM_OK;
}

static sm_status read_sources(sm_pipeline *p, const sm_yaml *list, sm_yaml_place at, sm_error *e)
{

    SM_TRY(sm_yaml_want(&p->yaml, list, at, SM_YAML_LIST, "sources", e));
    const int n = list->n_children;
    if (n > SMI_MAX_SOURCES) {
        return smi_flow_at(
            p, at, sm_fail(e, SM_LIMIT, "%d sources; at most %d are allowed", n, SMI_MAX_SOURCES),
            e);
    }
    p->sources = SM_NEW_ARRAY(p->arena, smi_flow_source, n);
    for (const sm_yaml *item = list->child; item; item = item->next) {
        smi_flow_source *s = &p->sources[p->n_sources];
        SM_TRY(read_source(p, item, s, e));
        for (int32_t i = 0; i < p->n_sources; i++) {
            const smi_flow_source *o = &p->sources[i];
            if (sm_str_eq(o->name, s->name) ||
                (s->quarantine.len && sm_str_eq_nocase(o->quarantine, s->quarantine))) {
                return smi_flow_at(p, s->at,
                                   sm_fail(e, SM_INVALID, "two sources have the same %s",
                                           sm_str_eq(o->name, s->name) ? "name" : "quarantine"),
                                   e);
            }
        }
        p->n_sources++;
    }
    return SM_OK;
}

static sm_status find_source(const sm_pipeline *p, sm_str name, sm_yaml_place at, int32_t *out,
                             sm_error *e)
{
    sm_str names[SMI_MAX_SOURCES];

    for (int32_t i = 0; i < p->n_sources; i++) {
        names[i] = p->sources[i].name;
        if (sm_str_eq(names[i], name)) {
            *out = i;
            return SM_OK;
        }
    }
    const sm_status st = sm_fail(e, SM_NAME, "no source \"%.*s\"", SM_STR_ARG(name));
    const char *near = sm_nearest_name(name, names, p->n_sources);
    if (near) {
        sm_error_todo(e, "Did you mean \"%s\"?", near);
    }
    return smi_flow_at(p, at, st, e);
}

sm_status smi_flow_read_text(const sm_pipeline *p, sm_str path, size_t max_bytes, sm_str *name,
                             sm_str *out, sm_error *e)
{
    sm_status st = SM_OK;
    sm_str folder, key;
    sm_store *store = NULL;
    sm_buf text = {.max_bytes = max_bytes};
    const bool is_absolute = path.data[0] == '/' || strstr(path.data, "://");
    const bool is_here = is_absolute || sm_str_is(p->folder, ".");

    *name = is_here ? path
                    : sm_arena_strf(p->arena, "%.*s/%.*s", SM_STR_ARG(p->folder), SM_STR_ARG(path));
    sm_uri_split(*name, &folder, &key);
    SM_TRY_GOTO(st, done, sm_store_open(p->stores, folder, &store, e));
    SM_TRY_GOTO(st, done, sm_store_get(store, key, &text, e));
    *out = sm_arena_str(p->arena, sm_buf_str(&text));
done:
    sm_buf_release(&text);
    sm_store_release(store);
    return st;
}

enum {
    KEY_LOAD,
    KEY_VIEW,
    KEY_TABLE,
    KEY_PUBLISH,
    KEY_CLUSTER,
    KEY_OPTIMIZE,
    KEY_VACUUM,
    KEY_COMMAND,
    KEY_SQL,
    KEY_FROM,
    KEY_BY,
    KEY_EVOLVE,
    KEY_REPLACE,
    KEY_OVERWRITE,
    KEY_APPEND,
    KEY_MERGE,
    KEY_SCD2,
    KEY_PARTITION_BY,
    KEY_PROPERTIES,
    KEY_CURVE,
    KEY_CONTRACT,
    KEY_TARGET_SIZE,
    KEY_RETAIN,
    KEY_RUN,
    KEY_ENV,
    KEY_MEMORY,
    KEY_CPU,
    KEY_NEEDS,
    KEY_TAGS,
    KEY_RETRIES,
    KEY_RETRY_DELAY,
    KEY_TIMEOUT,
    N_TASK_KEYS,
};

#define OF(kind) (1U << SM_TASK_##kind)
#define OF_MADE  (OF(LOAD) | OF(VIEW) | OF(TABLE))

/* The keys of tasks: for which kinds they are. The first say the kind. */
static const struct {
    const char *name;
    unsigned kinds; /* 0: of all */
    const char *whose;
} task_keys[N_TASK_KEYS] = {
    [KEY_LOAD] = {"load", 0, NULL},
    [KEY_VIEW] = {"view", 0, NULL},
    [KEY_TABLE] = {"table", 0, NULL},
    [KEY_PUBLISH] = {"publish", 0, NULL},
    [KEY_CLUSTER] = {"cluster", 0, NULL},
    [KEY_OPTIMIZE] = {"optimize", 0, NULL},
    [KEY_VACUUM] = {"vacuum", 0, NULL},
    [KEY_COMMAND] = {"command", 0, NULL},
    [KEY_SQL] = {"sql", OF_MADE, "loads, views and tables"},
    [KEY_FROM] = {"from", OF(LOAD) | OF(PUBLISH), "loads and publish"},
    [KEY_BY] = {"by", OF(LOAD) | OF(CLUSTER), "loads and cluster"},
    [KEY_EVOLVE] = {"evolve", OF(LOAD), "loads"},
    [KEY_REPLACE] = {"replace", OF(TABLE), "tables"},
    [KEY_OVERWRITE] = {"overwrite", OF(TABLE), "tables"},
    [KEY_APPEND] = {"append", OF(TABLE), "tables"},
    [KEY_MERGE] = {"merge", OF(TABLE), "tables"},
    [KEY_SCD2] = {"scd2", OF(TABLE), "tables"},
    [KEY_PARTITION_BY] = {"partition_by", OF(LOAD) | OF(TABLE), "loads and tables"},
    [KEY_PROPERTIES] = {"properties", OF(LOAD) | OF(TABLE), "loads and tables"},
    [KEY_CURVE] = {"curve", OF(CLUSTER), "cluster"},
    [KEY_CONTRACT] = {"contract", OF_MADE, "loads, views and tables"},
    [KEY_TARGET_SIZE] = {"target_size", OF(OPTIMIZE), "optimize"},
    [KEY_RETAIN] = {"retain", OF(VACUUM), "vacuum"},
    [KEY_RUN] = {"run", OF(COMMAND), "commands"},
    [KEY_ENV] = {"env", OF(COMMAND), "commands"},
    [KEY_MEMORY] = {"memory", OF(COMMAND), "commands"},
    [KEY_CPU] = {"cpu", OF(COMMAND), "commands"},
    [KEY_NEEDS] = {"needs", 0, NULL},
    [KEY_TAGS] = {"tags", 0, NULL},
    [KEY_RETRIES] = {"retries", 0, NULL},
    [KEY_RETRY_DELAY] = {"retry_delay", 0, NULL},
    [KEY_TIMEOUT] = {"timeout", 0, NULL},
};
_Static_assert(N_TASK_KEYS <= SM_YAML_KEYS, "a mapping has no more keys");

/* The one key that says what kind of task it is. */
static sm_status read_kind(const sm_pipeline *p, const sm_yaml_fields *f, int *key, sm_error *e)
{
    int n = 0;

    for (int i = KEY_LOAD; i <= KEY_COMMAND; i++) {
        if (f->has[i]) {
            *key = i;
            n++;
        }
    }
    return n == 1 ? SM_OK
                  : smi_flow_at(p, f->at,
                                sm_fail(e, SM_SYNTAX,
                                        "a task has %s of load, view, table, publish, cluster, "
                                        "optimize, vacuum and command",
                                        n ? "more than one" : "none"),
                                e);
}

/* Refuses keys that are for tasks of other kinds. */
static sm_status check_keys(const sm_pipeline *p, const sm_yaml_fields *f, sm_task_kind kind,
                            sm_error *e)
{
    for (int i = 0; i < N_TASK_KEYS; i++) {
        if (f->has[i] && task_keys[i].kinds && !(task_keys[i].kinds >> kind & 1)) {
            return smi_flow_at(
                p, f->places[i],
                sm_fail(e, SM_SYNTAX, "%s is for %s only", task_keys[i].name, task_keys[i].whose),
                e);
        }
    }
    return SM_OK;
}

/* A task that publishes: its name is connection.table; `from` is the table of the lake. */
static sm_status read_publish(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                              sm_error *e)
{
    const char *dot = memchr(t->name.data, '.', t->name.len);
    const sm_str connection = {t->name.data, (size_t)(dot - t->name.data)};

    t->as = (sm_str){dot + 1, t->name.len - connection.len - 1};
    SM_TRY(want_connection(p, connection, SMI_SERVER_CLICKHOUSE, t->at, &t->connection, e));
    SM_TRY(sm_yaml_fields_text(&p->yaml, f, KEY_FROM, "what is published", true, &t->from, e));
    return check_table_name(p, t->from, sm_yaml_place_of(f->values[KEY_FROM]), e);
}

/* The names that a key has: one, or a list of them. */
sm_status smi_flow_yaml_names(const sm_pipeline *p, const sm_yaml_fields *f, int key,
                              const char *kind, const sm_str **out, int32_t *n, sm_error *e)
{
    const sm_yaml *node = f->values[key];
    const bool is_list = node->type == SM_YAML_LIST;
    sm_str *names = SM_NEW_ARRAY(p->arena, sm_str, is_list ? node->n_children + 1 : 1);
    const char *what = sm_arena_printf(p->arena, "a %s of %s", kind, f->keys[key]);

    *out = names;
    if (!is_list) {
        *n = 1;
        return sm_yaml_fields_text(&p->yaml, f, key, "a task", true, names, e);
    }
    for (const sm_yaml *item = node->child; item; item = item->next) {
        SM_TRY(sm_yaml_text(&p->yaml, item, what, &names[(*n)++], e));
    }
    return *n > 0 ? SM_OK
                  : smi_flow_at(p, f->places[key],
                                sm_fail(e, SM_SYNTAX, "%s is empty", f->keys[key]), e);
}

static sm_status read_curve(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                            sm_error *e)
{
    static const sm_curve zorder = SM_CURVE_ZORDER, hilbert = SM_CURVE_HILBERT;
    sm_str word = {0};

    SM_TRY(sm_yaml_fields_text(&p->yaml, f, KEY_CURVE, "a task", false, &word, e));
    t->curve = !f->has[KEY_CURVE] ? NULL : sm_str_is(word, "hilbert") ? &hilbert : &zorder;
    return t->curve != &zorder || sm_str_is(word, "zorder")
               ? SM_OK
               : smi_flow_at(p, sm_yaml_place_of(f->values[KEY_CURVE]),
                             sm_fail(e, SM_INVALID, "curve is zorder or hilbert, not \"%.*s\"",
                                     SM_STR_ARG(word)),
                             e);
}

/* A task that sorts: `layer.table` becomes its table, and its name is that and its work. */
static sm_status read_cluster(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                              sm_error *e)
{
    t->from = t->name;
    t->name = sm_arena_strf(p->arena, "%.*s:cluster", SM_STR_ARG(t->from));
    if (!f->has[KEY_BY]) {
        return smi_flow_at(p, f->at, sm_fail(e, SM_SYNTAX, "a task that clusters has no by"), e);
    }
    SM_TRY(smi_flow_yaml_names(p, f, KEY_BY, "column", &t->columns, &t->n_columns, e));
    return read_curve(p, f, t, e);
}

static sm_status read_evolve(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                             sm_error *e)
{
    sm_str word = {0};

    SM_TRY(sm_yaml_fields_text(&p->yaml, f, KEY_EVOLVE, "a load", false, &word, e));
    if (f->has[KEY_EVOLVE] && !sm_str_is(word, "add")) {
        return smi_flow_at(
            p, sm_yaml_place_of(f->values[KEY_EVOLVE]),
            sm_fail(e, SM_INVALID, "evolve is \"add\", not \"%.*s\"", SM_STR_ARG(word)), e);
    }
    t->adds_columns = f->has[KEY_EVOLVE];
    return SM_OK;
}

static sm_status read_load(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                           sm_error *e)
{
    sm_str from = {0};

    SM_TRY(sm_yaml_fields_text(&p->yaml, f, KEY_FROM, "a load", true, &from, e));
    const sm_status st = sm_yaml_fields_text(&p->yaml, f, KEY_BY, "a load", true, &t->by, e);
    if (st != SM_OK && !f->has[KEY_BY]) {
        sm_error_todo(e, "by is the column of the SQL that is the file's date: SELECT …, file_date "
                         "AS day, and by: day.");
    }
    SM_TRY(st);
    SM_TRY(read_evolve(p, f, t, e));
    return find_source(p, from, sm_yaml_place_of(f->values[KEY_FROM]), &t->source, e);
}

/* replace, append: the table keeps rows of other values of the variable. */
static sm_status read_value_of(const sm_pipeline *p, const sm_yaml_fields *f, int key, int32_t *out,
                               sm_error *e)
{
    sm_str var = {0};

    if (!f->has[key]) {
        return SM_OK;
    }
    SM_TRY(sm_yaml_fields_text(&p->yaml, f, key, "a task", true, &var, e));
    SM_TRY(want_var(p, var, sm_yaml_place_of(f->values[key]), out, e));
    return p->vars[*out].type != SMI_VAR_URI
               ? SM_OK
               : smi_flow_at(p, sm_yaml_place_of(f->values[key]),
                             sm_fail(e, SM_TYPE, "the variable \"%.*s\" is a place, not a value",
                                     SM_STR_ARG(var)),
                             e);
}

/* overwrite: partitions. The table keeps the partitions that its new rows have not. */
static sm_status read_overwrite(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                                sm_error *e)
{
    sm_str word = {0};
    sm_status st = SM_OK;

    SM_TRY(sm_yaml_fields_text(&p->yaml, f, KEY_OVERWRITE, "a table", false, &word, e));
    if (!f->has[KEY_OVERWRITE]) {
        return SM_OK;
    }
    if (!sm_str_is(word, "partitions")) {
        st = sm_fail(e, SM_INVALID, "overwrite is \"partitions\", not \"%.*s\"", SM_STR_ARG(word));
        sm_error_todo(e, "Without the key, all rows of the table are replaced.");
    } else if (t->n_partition_by == 0) {
        st = sm_fail(e, SM_SYNTAX, "overwrite: partitions needs the key partition_by");
    }
    t->replaces_partitions = true;
    return smi_flow_at(p, sm_yaml_place_of(f->values[KEY_OVERWRITE]), st, e);
}

static sm_status read_partition_by(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                                   sm_error *e)
{
    if (!f->has[KEY_PARTITION_BY]) {
        return SM_OK;
    }
    t->partition_at = f->places[KEY_PARTITION_BY];
    return smi_flow_yaml_names(p, f, KEY_PARTITION_BY, "column", &t->partition_by,
                               &t->n_partition_by, e);
}

/* One of the properties before place i, and a table feature that it turns on. */
static sm_status check_property(const sm_pipeline *p, const sm_pair *items, int32_t i,
                                sm_delta_protocol *protocol, sm_error *e)
{
    const char *feature = NULL;

    for (int32_t k = 0; k < i; k++) {
        if (sm_str_eq_nocase(items[k].key, items[i].key)) {
            return sm_fail(e, SM_EXISTS, "the property \"%.*s\" is set twice",
                           SM_STR_ARG(items[i].key));
        }
    }
    SM_TRY(sm_delta_check_property(items[i].key, items[i].value, &feature, e));
    if (feature) {
        *protocol = sm_delta_protocol_with(protocol, feature, p->arena);
    }
    return SM_OK;
}

/* properties: what the table has after each run. What no table may have is refused here, so that
 * nothing is read before. */
static sm_status read_properties(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                                 sm_error *e)
{
    const sm_yaml *map = f->values[KEY_PROPERTIES];
    sm_delta_protocol protocol = {.min_reader = 1, .min_writer = 2};

    t->properties_at = f->places[KEY_PROPERTIES];
    SM_TRY(sm_yaml_want(&p->yaml, map, t->properties_at, SM_YAML_MAP, "properties", e));
    sm_pair *items = SM_NEW_ARRAY(p->arena, sm_pair, map->n_children + 1);
    for (const sm_yaml *pair = map->child; pair; pair = pair->next) {
        const sm_yaml *key = pair->key;
        const int32_t i = t->n_properties++;
        SM_TRY(sm_yaml_text(&p->yaml, key, "a property", &items[i].key, e));
        SM_TRY(sm_yaml_text(&p->yaml, pair, items[i].key.data, &items[i].value, e));
        SM_TRY(smi_flow_at(p, sm_yaml_place_of(key), check_property(p, items, i, &protocol, e), e));
    }
    SM_ASSERT(t->n_properties >= 0 && protocol.min_reader >= 1);
    t->properties = items;
    const sm_delta_metadata m = {.config = items, .n_config = t->n_properties};
    return smi_flow_at(p, t->properties_at, sm_delta_check_readers(NULL, &protocol, &m, e), e);
}

/* SQL of an expression, with its place. */
static sm_status read_expression(const sm_pipeline *p, const sm_yaml_fields *f, int key,
                                 smi_flow_expression *out, sm_error *e)
{
    if (!f->has[key]) {
        return SM_OK;
    }
    SM_TRY(sm_yaml_fields_text(&p->yaml, f, key, f->keys[key], true, &out->text, e));
    out->key = f->keys[key];
    out->at = sm_yaml_place_of(f->values[key]);
    return SM_OK;
}

/* The columns by which rows belong together. */
static sm_status read_key(const sm_pipeline *p, const sm_yaml_fields *f, int key, smi_flow_merge *m,
                          const char *what, sm_error *e)
{
    if (!f->has[key]) {
        return smi_flow_at(p, f->at, sm_fail(e, SM_SYNTAX, "%s has no key", what), e);
    }
    m->key.at = sm_yaml_place_of(f->values[key]);
    return smi_flow_yaml_names(p, f, key, "column", &m->key.names, &m->key.n, e);
}

/* merge: the rows take the place of those with the same key. */
static sm_status read_merge(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                            sm_error *e)
{
    static const char *const keys[] = {"key", "update_when", "delete_when", NULL};
    smi_flow_merge *m = SM_NEW(p->arena, smi_flow_merge);
    sm_yaml_fields own;

    SM_TRY(sm_yaml_want(&p->yaml, f->values[KEY_MERGE], f->places[KEY_MERGE], SM_YAML_MAP, "merge",
                        e));
    SM_TRY(sm_yaml_fields_read(&p->yaml, f->values[KEY_MERGE], "merge", keys, &own, e));
    own.at = f->places[KEY_MERGE];
    SM_TRY(read_key(p, &own, 0, m, "merge", e));
    SM_TRY(read_expression(p, &own, 1, &m->update_when, e));
    SM_TRY(read_expression(p, &own, 2, &m->delete_when, e));
    t->merge = m;
    return SM_OK;
}

/* missing: what becomes of current rows whose key is not among the rows. */
static sm_status read_missing(const sm_pipeline *p, const sm_yaml_fields *f, int key, bool *closes,
                              sm_error *e)
{
    sm_str word = SM_STR("keep");

    SM_TRY(sm_yaml_fields_text(&p->yaml, f, key, "scd2", false, &word, e));
    *closes = sm_str_is(word, "close");
    return *closes || sm_str_is(word, "keep")
               ? SM_OK
               : smi_flow_at(p, sm_yaml_place_of(f->values[key]),
                             sm_fail(e, SM_INVALID, "missing is keep or close, not \"%.*s\"",
                                     SM_STR_ARG(word)),
                             e);
}

enum {
    SCD2_KEY,
    SCD2_COLUMNS,
    SCD2_AT,
    SCD2_VALID_FROM,
    SCD2_VALID_TO,
    SCD2_IS_CURRENT,
    SCD2_MISSING,
};

/* The names of the three columns of a history: they are not alike. */
static sm_status read_history_columns(const sm_pipeline *p, const sm_yaml_fields *f,
                                      smi_flow_merge *m, sm_error *e)
{
    sm_str *const names[] = {&m->valid_from, &m->valid_to, &m->is_current};

    for (int i = 0; i < SM_COUNT(names); i++) {
        const int key = SCD2_VALID_FROM + i;
        *names[i] = sm_str_of(f->keys[key]);
        if (f->has[key]) {
            SM_TRY(sm_yaml_fields_text(&p->yaml, f, key, "scd2", true, names[i], e));
        }
    }
    for (int i = 1; i < SM_COUNT(names); i++) {
        for (int k = 0; k < i; k++) {
            if (sm_str_eq_nocase(*names[i], *names[k])) {
                const int key = f->has[SCD2_VALID_FROM + i] ? i : k;
                return smi_flow_at(
                    p, f->places[SCD2_VALID_FROM + key],
                    sm_fail(e, SM_INVALID, "scd2 has two columns \"%.*s\"", SM_STR_ARG(*names[i])),
                    e);
            }
        }
    }
    return SM_OK;
}

/* scd2: the table keeps each row as it was, and from when to when. */
static sm_status read_scd2(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                           sm_error *e)
{
    static const char *const keys[] = {"key",      "columns",    "at",      "valid_from",
                                       "valid_to", "is_current", "missing", NULL};
    _Static_assert(SM_COUNT(keys) == SCD2_MISSING + 2, "a key for each number, and the end");
    smi_flow_merge *m = SM_NEW(p->arena, smi_flow_merge);
    sm_yaml_fields own;

    SM_TRY(
        sm_yaml_want(&p->yaml, f->values[KEY_SCD2], f->places[KEY_SCD2], SM_YAML_MAP, "scd2", e));
    SM_TRY(sm_yaml_fields_read(&p->yaml, f->values[KEY_SCD2], "scd2", keys, &own, e));
    own.at = f->places[KEY_SCD2];
    m->is_history = true;
    SM_TRY(read_key(p, &own, SCD2_KEY, m, "scd2", e));
    if (own.has[SCD2_COLUMNS]) {
        m->columns.at = sm_yaml_place_of(own.values[SCD2_COLUMNS]);
        SM_TRY(smi_flow_yaml_names(p, &own, SCD2_COLUMNS, "column", &m->columns.names,
                                   &m->columns.n, e));
    }
    SM_TRY(read_expression(p, &own, SCD2_AT, &m->at, e));
    SM_TRY(read_history_columns(p, &own, m, e));
    t->merge = m;
    return read_missing(p, &own, SCD2_MISSING, &m->closes_missing, e);
}

/* What becomes of the rows that a table has is said by one key at most. */
static sm_status check_one_way(const sm_pipeline *p, const sm_yaml_fields *f, sm_error *e)
{
    int n = 0;

    for (int i = KEY_REPLACE; i <= KEY_SCD2; i++) {
        n += f->has[i];
        if (n > 1 && f->has[i]) {
            return smi_flow_at(
                p, f->places[i],
                sm_fail(e, SM_SYNTAX,
                        "a table has one of replace, overwrite, append, merge and scd2"),
                e);
        }
    }
    return SM_OK;
}

/* The keys of tasks that make a table or a view. */
static sm_status read_made(sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t, sm_error *e)
{
    if (t->kind == SM_TASK_VIEW) {
    }
    SM_TRY(read_partition_by(p, f, t, e));
    SM_TRY(f->has[KEY_PROPERTIES] ? read_properties(p, f, t, e) : SM_OK);
    SM_TRY(f->has[KEY_CONTRACT] ? smi_flow_contract_read(p, f, KEY_CONTRACT, t, e) : SM_OK);
    if (t->kind == SM_TASK_LOAD) {
        return read_load(p, f, t, e);
    }
    SM_TRY(check_one_way(p, f, e));
    SM_TRY(read_value_of(p, f, KEY_REPLACE, &t->replace, e));
    SM_TRY(read_value_of(p, f, KEY_APPEND, &t->append, e));
    SM_TRY(f->has[KEY_MERGE] ? read_merge(p, f, t, e) : SM_OK);
    SM_TRY(f->has[KEY_SCD2] ? read_scd2(p, f, t, e) : SM_OK);
    return read_overwrite(p, f, t, e);
}

/* How often a task is done again, and the wait before it: key `retries` and the one behind it. */
static sm_status read_tries(const sm_pipeline *p, const sm_yaml_fields *f, int retries,
                            sm_task_tries *out, sm_error *e)
{
    sm_str text = {0};
    int64_t n = 0;

    SM_TRY(sm_yaml_fields_text(&p->yaml, f, retries, "retries", f->has[retries], &text, e));
    if (f->has[retries] && (!sm_parse_i64(text, &n) || n < 0 || n > MAX_RETRIES)) {
        return smi_flow_at(p, sm_yaml_place_of(f->values[retries]),
                           sm_fail(e, SM_INVALID, "retries is a number from 0 to %d, not \"%.*s\"",
                                   MAX_RETRIES, SM_STR_ARG(text)),
                           e);
    }
    out->retries = f->has[retries] ? (int32_t)n : out->retries;
    return smi_flow_yaml_duration(p, f, retries + 1, 0, &out->wait_us, e);
}

/* A size, like 512MB; *bytes stays as it is where the key is missing. */
static sm_status read_size(const sm_pipeline *p, const sm_yaml_fields *f, int key, size_t *bytes,
                           sm_error *e)
{
    sm_str text = {0};

    SM_TRY(sm_yaml_fields_text(&p->yaml, f, key, "a size", f->has[key], &text, e));
    if (!f->has[key] || (sm_parse_size(text, bytes) && *bytes > 0)) {
        return SM_OK;
    }
    return smi_flow_at(p, sm_yaml_place_of(f->values[key]),
                       sm_fail(e, SM_INVALID, "%s is a size like 256MB or 64MiB, not \"%.*s\"",
                               f->keys[key], SM_STR_ARG(text)),
                       e);
}

/* A task that keeps a table in order: its name is that of the table and its work. */
static sm_status read_upkeep(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                             sm_error *e)
{
    size_t target = 0;

    t->from = t->name;
    t->name = sm_arena_strf(p->arena, "%.*s:%s", SM_STR_ARG(t->from), sm_task_kind_name(t->kind));
    t->retain_us = -1;
    SM_TRY(read_size(p, f, KEY_TARGET_SIZE, &target, e));
    t->target_bytes = target;
    return smi_flow_yaml_duration(p, f, KEY_RETAIN, 0, &t->retain_us, e);
}

/* run: a text for the shell, or a list of words. */
static sm_status read_words(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_command *c,
                            sm_error *e)
{
    const sm_str *words = NULL;
    int32_t n = 0;

    if (!f->has[KEY_RUN]) {
        return smi_flow_at(p, f->at, sm_fail(e, SM_SYNTAX, "a command has no run"), e);
    }
    SM_TRY(smi_flow_yaml_names(p, f, KEY_RUN, "word", &words, &n, e));
    const bool is_script = f->values[KEY_RUN]->type != SM_YAML_LIST;
    const char **argv = SM_NEW_ARRAY(p->arena, const char *, n + 3);
    int32_t to = 0;
    if (is_script) {
        argv[to++] = "sh";
        argv[to++] = "-c";
    }
    for (int32_t i = 0; i < n; i++) {
        argv[to++] = sm_arena_printf(p->arena, "%.*s", SM_STR_ARG(words[i]));
    }
    c->argv = argv;
    return SM_OK;
}

static sm_status read_env(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_command *c,
                          sm_error *e)
{
    const sm_yaml *map = f->values[KEY_ENV];

    SM_TRY(sm_yaml_want(&p->yaml, map, f->places[KEY_ENV], SM_YAML_MAP, "env", e));
    sm_pair *items = SM_NEW_ARRAY(p->arena, sm_pair, map->n_children + 1);
    for (const sm_yaml *pair = map->child; pair; pair = pair->next) {
        sm_pair *one = &items[c->n_env++];
        SM_TRY(sm_yaml_text(&p->yaml, pair->key, "a variable of env", &one->key, e));
        SM_TRY(sm_yaml_text(&p->yaml, pair, one->key.data, &one->value, e));
        if (one->key.len == 0 || memchr(one->key.data, '=', one->key.len)) {
            return smi_flow_at(
                p, sm_yaml_place_of(pair->key),
                sm_fail(e, SM_NAME, "\"%.*s\" is no name of a variable", SM_STR_ARG(one->key)), e);
        }
    }
    c->env = items;
    return SM_OK;
}

static sm_status read_command(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                              sm_error *e)
{
    smi_flow_command *c = SM_NEW(p->arena, smi_flow_command);
    int64_t cpu_us = 0;

    t->command = c;
    SM_TRY(read_words(p, f, c, e));
    SM_TRY(f->has[KEY_ENV] ? read_env(p, f, c, e) : SM_OK);
    SM_TRY(read_size(p, f, KEY_MEMORY, &c->memory_bytes, e));
    SM_TRY(smi_flow_yaml_duration(p, f, KEY_CPU, SECOND_US, &cpu_us, e));
    c->cpu_seconds = cpu_us / SECOND_US;
    return SM_OK;
}

/* Words by which tasks are selected. */
static sm_status read_tags(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                           sm_error *e)
{
    if (!f->has[KEY_TAGS]) {
        return SM_OK;
    }
    SM_TRY(smi_flow_yaml_names(p, f, KEY_TAGS, "tag", &t->tags, &t->n_tags, e));
    for (int32_t i = 0; i < t->n_tags; i++) {
        if (!is_word(t->tags[i])) {
            return smi_flow_at(p, f->places[KEY_TAGS],
                               sm_fail(e, SM_NAME, "\"%.*s\" is not a tag", SM_STR_ARG(t->tags[i])),
                               e);
        }
    }
    return SM_OK;
}

/* The name of a task: of a table, or a word. */
static sm_status read_name(const sm_pipeline *p, const sm_yaml_fields *f, int key, smi_flow_task *t,
                           sm_error *e)
{
    SM_TRY(sm_yaml_fields_text(&p->yaml, f, key, "a task", true, &t->name, e));
    t->at = sm_yaml_place_of(f->values[key]);
    if (t->kind == SM_TASK_LOAD || t->kind == SM_TASK_TABLE) {
        return check_new_table(p, t->name, t->at, e);
    }
    if (t->kind != SM_TASK_COMMAND || !is_word(t->name)) {
        return check_table_name(p, t->name, t->at, e);
    }
    return SM_OK;
}

/* The keys that all tasks have. */
static sm_status read_around(const sm_pipeline *p, const sm_yaml_fields *f, smi_flow_task *t,
                             sm_error *e)
{
    SM_TRY(read_tags(p, f, t, e));
    t->tries = p->tries;
    SM_TRY(read_tries(p, f, KEY_RETRIES, &t->tries, e));
    SM_TRY(smi_flow_yaml_duration(p, f, KEY_TIMEOUT, 1, &t->timeout_us, e));
    t->wanted_at = f->places[KEY_NEEDS];
    return f->has[KEY_NEEDS]
               ? smi_flow_yaml_names(p, f, KEY_NEEDS, "task", &t->wanted, &t->n_wanted, e)
               : SM_OK;
}

static sm_status read_task(sm_pipeline *p, const sm_yaml *map, smi_flow_task *t, sm_error *e)
{
    static const sm_task_kind kinds[] = {
        SM_TASK_LOAD,    SM_TASK_VIEW,     SM_TASK_TABLE,  SM_TASK_PUBLISH,
        SM_TASK_CLUSTER, SM_TASK_OPTIMIZE, SM_TASK_VACUUM, SM_TASK_COMMAND,
    };
    _Static_assert(SM_COUNT(kinds) == KEY_COMMAND + 1, "the kinds' keys come first");
    const char *keys[N_TASK_KEYS + 1] = {NULL};
    sm_yaml_fields f;
    int key = 0;
    sm_str path = {0};

    for (int i = 0; i < N_TASK_KEYS; i++) {
        keys[i] = task_keys[i].name;
    }
    SM_TRY(sm_yaml_fields_read(&p->yaml, map, "a task", keys, &f, e));
    SM_TRY(read_kind(p, &f, &key, e));
    t->kind = kinds[key];
    t->source = t->connection = t->replace = t->append = -1;
    SM_TRY(read_name(p, &f, key, t, e));
    SM_TRY(check_keys(p, &f, t->kind, e));
    SM_TRY(read_around(p, &f, t, e));
    switch (t->kind) {
    case SM_TASK_PUBLISH:
        return read_publish(p, &f, t, e);
    case SM_TASK_CLUSTER:
        return read_cluster(p, &f, t, e);
    case SM_TASK_OPTIMIZE:
    case SM_TASK_VACUUM:
        return read_upkeep(p, &f, t, e);
    case SM_TASK_COMMAND:
        return read_command(p, &f, t, e);
    default:
        break;
    }
    SM_TRY(sm_yaml_fields_text(&p->yaml, &f, KEY_SQL, "a task", true, &path, e));
    SM_TRY(read_made(p, &f, t, e));
    const sm_status st = smi_flow_read_text(p, path, MAX_SQL_BYTES, &t->sql.name, &t->sql.text, e);
    return sm_within(e, st, "task %.*s, line %d of the pipeline", SM_STR_ARG(t->name),
                     (int)sm_yaml_place_of(f.values[KEY_SQL]).line);
}

static sm_status check_task_name(const sm_pipeline *p, const smi_flow_task *t, sm_error *e)
{
    if (smi_flow_task_find(p, t->name) >= 0) {
        return smi_flow_at(p, t->at,
                           sm_fail(e, SM_EXISTS, "two tasks make %.*s", SM_STR_ARG(t->name)), e);
    }
    for (int32_t i = 0; i < p->n_sources; i++) {
        if (sm_str_eq_nocase(p->sources[i].quarantine, t->name)) {
            return smi_flow_at(
                p, t->at,
                sm_fail(e, SM_EXISTS, "%.*s is a source's quarantine already", SM_STR_ARG(t->name)),
                e);
        }
    }
    return SM_OK;
}

static sm_status read_tasks(sm_pipeline *p, const sm_yaml *list, sm_yaml_place at, sm_error *e)
{

    SM_TRY(sm_yaml_want(&p->yaml, list, at, SM_YAML_LIST, "tasks", e));
    p->tasks = SM_NEW_ARRAY(p->arena, smi_flow_task, list->n_children);
    for (const sm_yaml *item = list->child; item; item = item->next) {
        smi_flow_task t = {0};
        SM_TRY(read_task(p, item, &t, e));
        SM_TRY(check_task_name(p, &t, e));
        p->tasks[p->n_tasks++] = t;
    }
    return p->n_tasks ? SM_OK : smi_flow_at(p, at, sm_fail(e, SM_SYNTAX, "tasks is empty"), e);
}

/* ---- the file ------------------------------------------------------------------------------- */

static sm_status read_root(sm_pipeline *p, const sm_yaml *root, sm_error *e)
{
    static const char *const keys[] = {"name",
                                       "description",
                                       "vars",
                                       "lake",
                                       "sources",
                                       "tasks",
                                       "connections",
                                       "quarantine_retention",
                                       "schedule",
                                       "timezone",
                                       "retries",
                                       "retry_delay",
                                       "timeout",
                                       "catchup",
                                       "max_active_runs",
                                       "after",
                                       NULL};
    sm_yaml_fields f;
    sm_str lake = {0};

    SM_TRY(sm_yaml_fields_read(&p->yaml, root, "a pipeline", keys, &f, e));
    SM_TRY(sm_yaml_fields_text(&p->yaml, &f, 0, "the pipeline", true, &p->name, e));
    if (!is_word(p->name)) {
        return smi_flow_at(
            p, sm_yaml_place_of(f.values[0]),
            sm_fail(e, SM_NAME, "\"%.*s\" is not a pipeline name", SM_STR_ARG(p->name)), e);
    }
    SM_TRY(sm_yaml_fields_text(&p->yaml, &f, 1, "the pipeline", false, &p->description, e));
    SM_TRY(smi_flow_yaml_duration(p, &f, 7, 1, &p->quarantine_us, e));
    SM_TRY(smi_flow_yaml_schedule(p, &f, 8, e));
    SM_TRY(smi_flow_yaml_runs(p, &f, 13, e));
    p->tries.wait_us = RETRY_US;
    SM_TRY(read_tries(p, &f, 10, &p->tries, e));
    SM_TRY(smi_flow_yaml_duration(p, &f, 12, 1, &p->timeout_us, e));
    if (f.has[6]) {
        SM_TRY(read_connections(p, f.values[6], f.places[6], e));
    }
    if (f.has[2]) {
        SM_TRY(read_vars(p, f.values[2], f.places[2], e));
    }
    SM_TRY(sm_yaml_fields_text(&p->yaml, &f, 3, "the pipeline", true, &lake, e));
    SM_TRY(want_var(p, lake, sm_yaml_place_of(f.values[3]), &p->lake, e));
    if (f.has[4]) {
        SM_TRY(read_sources(p, f.values[4], f.places[4], e));
    }
    if (!f.has[5]) {
        return smi_flow_at(p, f.at, sm_fail(e, SM_SYNTAX, "the pipeline has no tasks"), e);
    }
    return read_tasks(p, f.values[5], f.places[5], e);
}

sm_status smi_flow_yaml_read(sm_pipeline *p, sm_error *e)
{
    sm_status st = SM_OK;
    sm_str folder, name;
    sm_store *store = NULL;
    sm_buf text = {.max_bytes = MAX_YAML_BYTES};

    while (p->path.len > 1 && p->path.data[p->path.len - 1] == '/') {
        p->path.len--; /* the path names a folder; the error says so */
    }
    sm_uri_split(p->path, &folder, &name);
    p->folder = sm_arena_str(p->arena, folder);
    SM_TRY_GOTO(st, done, sm_store_open(p->stores, p->folder, &store, e));
    st = sm_store_get(store, name, &text, e);
    if (st == SM_NOT_FOUND || st == SM_INVALID) {
        sm_error_todo(e, "A pipeline is named by its YAML file, like pipelines/sales/delta.yaml.");
    }
    SM_TRY_GOTO(st, done, st);
    p->yaml = (sm_yaml_doc){.name = p->path, .arena = p->arena};
    SM_TRY_GOTO(st, done, sm_yaml_parse(&p->yaml, sm_buf_str(&text), "the pipeline", e));
    st = read_root(p, p->yaml.root, e);
done:
    sm_buf_release(&text);
    sm_store_release(store);
    return st;
}
