/* rules.c - the switches; built into core_switched only. */
#include "core/rules.h"

unsigned long rules_off;
