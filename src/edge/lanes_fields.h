/* lanes_fields.h - the field numbers of api/proto/counter/internal/lanes.proto, for the reader
 * and the writer. */
#ifndef EDGE_LANES_FIELDS_H
#define EDGE_LANES_FIELDS_H

#include "core/op.h"

enum { APPLY_PRODUCER_HI = 1, APPLY_PRODUCER_LO, APPLY_NUMBER, APPLY_ISSUED, APPLY_OPERATIONS };

enum { OPERATION_KIND = 1, OPERATION_ARG, OPERATION_ID, OPERATION_TYPE, OPERATION_KEY };

enum { RESPONSE_ANSWERS = 1, RESPONSE_STORE_NOW };

enum { ANSWER_ERROR = 1, ANSWER_REPLAYED, ANSWER_VALUE, ANSWER_TIME };

enum { HELLO_STORE_ID = 1, HELLO_STORE_NOW, HELLO_DURABILITY, HELLO_GUARANTEE, HELLO_VERSION };

/* On the wire 0 is none of them. */
#define KIND_FIRST 1
_Static_assert(OP_ADD == 0 && OP_SET == 1 && OP_RESET == 2 && OP_GET == 3, "OperationKind's order");

#endif
