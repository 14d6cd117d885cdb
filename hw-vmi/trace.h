#include "trace/trace-hw_vmi.h"
