#include "textflag.h"

// func socketI386(family, kind uint32) int32
TEXT ·socketI386(SB), NOSPLIT, $0-12
	MOVL	$359, AX
	MOVL	family+0(FP), BX
	MOVL	kind+4(FP), CX
	MOVL	$0, DX
	MOVL	$0, SI
	MOVL	$0, DI
	INT	$0x80
	MOVL	AX, ret+8(FP)
	RET
