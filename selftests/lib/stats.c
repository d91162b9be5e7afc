// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's view of itself, for tests: parameters by sysfs, counters by debugfs. It parses
 * "name value" lines and knows of no counter but by its name.
 */
#include <dirent.h>
#include <glob.h>
#include <sys/mount.h>
#include "stats.h"

struct apicv_features have;
bool have_preemption_timer;

static bool parameter(const char *name)
{
	char path[128], value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/apicvisor/parameters/%s", name);
	f = fopen(path, "re");
	if (!f || fread(&value, 1, 1, f) != 1)
		fail_msg("%s can't be read", path);
	fclose(f);
	return value == 'Y';
}

int stats_setup(void **state)
{
	if (on_apicvisor()) {
		have.tpr_shadow = parameter("tpr_shadow");
		have.apic_access = parameter("apic_access");
		have.x2apic_mode = parameter("x2apic_mode");
		have.apic_register = parameter("apic_register");
		have.virtual_interrupts = parameter("virtual_interrupts");
		have.posted_interrupts = parameter("posted_interrupts");
		have_preemption_timer = parameter("preemption_timer");
		if (access("/sys/kernel/debug/apicvisor", F_OK) &&
		    mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL))
			fail_msg("debugfs: %s", strerror(errno));
	}
	return test_setup(state);
}

void module_parameter(const char *name, char *value, size_t size)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	f = fopen(path, "re");
	if (!f || !fgets(value, size, f))
		fail_msg("%s: %s", path, strerror(errno));
	fclose(f);
	value[strcspn(value, "\n")] = 0;
}

void reload_module(const char *more)
{
	const char *file = getenv("APV_KO");
	char parameters[512];
	struct dirent *e;
	size_t n = snprintf(parameters, sizeof(parameters), "%s", more);
	DIR *dir = opendir(PARAMETERS);
	int r;

	if (!file || !*file)
		file = KMODULES "apicvisor.ko";
	if (!dir || access(file, R_OK))
		skip_because("%s is not here", file);
	while ((e = readdir(dir)) != NULL) {
		char value[64];

		if (e->d_name[0] == '.' || strstr(more, e->d_name) ||
		    !strcmp(e->d_name, "posted_wakeup"))
			continue;
		module_parameter(e->d_name, value, sizeof(value));
		n += snprintf(parameters + n, sizeof(parameters) - n, " %s=%s", e->d_name, value);
		assert_true(n < sizeof(parameters));
	}
	closedir(dir);
	r = unload_module("apicvisor");
	if (!r)
		r = load_module(file, parameters);
	if (r)
		fail_msg("%s: %s", parameters, strerror(-r));
}

void need_apicvisor(void)
{
	if (!on_apicvisor())
		skip_because("about apicvisor's features and statistics");
}

size_t read_vm_debugfs(const char *name, char *text, size_t size)
{
	char pattern[128];
	glob_t found;
	size_t n;
	FILE *f;

	snprintf(pattern, sizeof(pattern), "/sys/kernel/debug/apicvisor/%d-*/%s", getpid(), name);
	if (glob(pattern, 0, NULL, &found) || found.gl_pathc != 1)
		fail_msg("%s: there is not exactly one", pattern);
	f = fopen(found.gl_pathv[0], "re");
	globfree(&found);
	if (!f)
		fail_msg("%s: %s", pattern, strerror(errno));
	n = fread(text, 1, size - 1, f);
	if (ferror(f) || n == size - 1)
		fail_msg("%s can't be read", pattern);
	fclose(f);
	text[n] = 0;
	return n;
}

void read_debugfs(struct vcpu *v, const char *name, char *text, size_t size)
{
	char file[32];
	int index = 0;

	while (v->vm->vcpu[index] != v)
		index++;
	snprintf(file, sizeof(file), "vcpu%d/%s", index, name);
	if (!read_vm_debugfs(file, text, size))
		fail_msg("%s is empty", file);
}

int write_vm_debugfs(const char *name, const char *text)
{
	char pattern[128];
	glob_t found;
	int r = -ENOENT;

	snprintf(pattern, sizeof(pattern), "/sys/kernel/debug/apicvisor/%d-*/%s", getpid(), name);
	if (!glob(pattern, 0, NULL, &found)) {
		r = found.gl_pathc == 1 ? write_file(found.gl_pathv[0], text) : -EEXIST;
		globfree(&found);
	}
	return r;
}

struct sample take_sample(struct vcpu *v)
{
	struct sample s;

	read_debugfs(v, "stats", s.text, sizeof(s.text));
	return s;
}

uint64_t counter(const struct sample *s, const char *name)
{
	char key[64];
	const char *line;
	int n = snprintf(key, sizeof(key), "\n%s ", name);

	line = strstr(s->text, key);
	if (!line)
		fail_msg("no counter %s", name);
	return strtoul(line + n, NULL, 10);
}

uint64_t grown(const struct sample *a, const struct sample *b, const char *name)
{
	return counter(b, name) - counter(a, name);
}

void expect_exits(const struct sample *a, const struct sample *b, const struct exits *want,
		  size_t n)
{
	for (const char *line = strstr(b->text, "exit."); line; line = strstr(line + 1, "exit.")) {
		char name[64];
		uint64_t delta, wanted = 0;

		sscanf(line, "%63s", name);
		if (!strcmp(name, "exit.external_interrupt") || !strcmp(name, "exit.pause"))
			continue;
		delta = grown(a, b, name);
		for (size_t i = 0; i < n; i++)
			wanted += want[i].name && !strcmp(want[i].name, name) ? want[i].n : 0;
		if (delta != wanted)
			fail_msg("%s: %lu, not %lu", name, (unsigned long)delta,
				 (unsigned long)wanted);
	}
}

/* --- what an access to the LAPIC costs --- */

const char *exit_of(enum apic_mode m, bool write)
{
	if (m == X2APIC)
		return write ? "exit.wrmsr" : "exit.rdmsr";
	if (!have.apic_access)
		return "exit.ept_violation";
	return write && have.apic_register ? "exit.apic_write" : "exit.apic_access";
}

/* Does the processor virtualize accesses in this mode at all? */
static bool virtualizes(enum apic_mode m)
{
	return m == X2APIC ? have.x2apic_mode : have.apic_access;
}

bool tpr_is_free(enum apic_mode m)
{
	return have.tpr_shadow && virtualizes(m);
}

bool reads_are_free(enum apic_mode m)
{
	return have.apic_register && virtualizes(m);
}

bool eoi_is_free(enum apic_mode m)
{
	return have.virtual_interrupts && virtualizes(m);
}
