"""Every way to fail: its code, its HTTP status, and its sentence in English and in Korean. Pure, imports nothing.

A sentence has no place for what a client or a server wrote, so that none can show up in one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

LANGUAGES: Final = ("en", "ko")


class Problem(NamedTuple):
    """One way to fail."""

    status: int
    en: str
    ko: str

    def say(self, language: str) -> str:
        """The sentence in this language."""
        return self.ko if language == "ko" else self.en


PROBLEMS: Final[dict[str, Problem]] = {
    # The request.
    "invalid_json": Problem(400, "The body is no JSON object.", "본문이 JSON 객체가 아닙니다."),
    "invalid_request": Problem(422, "A field of the request has a wrong value.", "요청의 필드 값이 올바르지 않습니다."),
    "user_message_empty": Problem(422, "'user_message' is empty; write one.", "'user_message'가 비어 있습니다."),
    "role_not_allowed": Problem(
        422,
        "A message of 'conversation_history' may be the user's or the assistant's alone; put instructions into"
        " 'system_message'.",
        "'conversation_history'의 메시지 역할은 user와 assistant만 쓸 수 있습니다. 지시는 'system_message'에 쓰십시오.",
    ),
    "body_too_large": Problem(413, "The body is too large.", "본문이 너무 큽니다."),
    "request_timeout": Problem(408, "The body did not arrive in time.", "본문이 제시간에 도착하지 않았습니다."),
    "unsupported_media_type": Problem(
        415,
        "Send JSON, with 'Content-Type: application/json'.",
        "'Content-Type: application/json'으로 JSON을 보내십시오.",
    ),
    "not_found": Problem(404, "There is no such address; see /docs.", "없는 주소입니다. /docs를 보십시오."),
    "method_not_allowed": Problem(
        405, "This address does not take this method.", "이 주소는 이 메서드를 받지 않습니다."
    ),
    "host_not_allowed": Problem(
        421,
        "The service is not asked under this name; its operator can add it to CHAT_API_ALLOWED_HOSTS.",
        "이 이름으로는 요청할 수 없습니다. 운영자가 CHAT_API_ALLOWED_HOSTS에 추가할 수 있습니다.",
    ),
    "origin_not_allowed": Problem(
        403, "Pages of another site may not ask this service.", "다른 사이트의 페이지는 이 서비스에 요청할 수 없습니다."
    ),
    # Keys.
    "key_needed": Problem(
        401,
        "A key is needed, in 'openai_api_key' or as 'Authorization: Bearer KEY'; or set 'free_mode'.",
        "키가 필요합니다. 'openai_api_key'나 'Authorization: Bearer KEY'로 보내거나 'free_mode'를 쓰십시오.",
    ),
    "keys_differ": Problem(
        400,
        "The body and the headers have different keys; send one.",
        "본문과 헤더의 키가 다릅니다. 하나만 보내십시오.",
    ),
    "invalid_key": Problem(401, "The key is not valid.", "키가 올바르지 않습니다."),
    "key_expired": Problem(401, "The key has expired; ask for a new one.", "키가 만료되었습니다. 새 키를 받으십시오."),
    "key_unchecked": Problem(
        503,
        "The gateway cannot be asked now whether the key is valid, so nothing was read or changed; ask again soon.",
        "지금은 키가 올바른지 게이트웨이에 물을 수 없어, 아무것도 읽거나 바꾸지 않았습니다. 잠시 후 다시 요청하십시오.",
    ),
    "provider_key_refused": Problem(
        403, "The provider refused the key that you sent.", "제공자가 보내신 키를 거부했습니다."
    ),
    "provider_key_not_taken": Problem(
        403, "This model takes no key of a provider.", "이 모델은 제공자의 키를 받지 않습니다."
    ),
    "provider_key_needed": Problem(
        403, "This model needs your own key of its provider.", "이 모델에는 제공자에게서 받은 본인의 키가 필요합니다."
    ),
    "service_key_missing": Problem(
        503,
        "This service answers nobody without a key; send your key.",
        "이 서비스는 키 없이는 쓸 수 없습니다. 키를 보내십시오.",
    ),
    "service_key_refused": Problem(
        503,
        "The gateway refuses this service's own key; its operator has to set CHAT_API_FREE_KEY or"
        " CHAT_API_GATEWAY_KEY.",
        "게이트웨이가 이 서비스의 키를 거부합니다. 운영자가 CHAT_API_FREE_KEY나 CHAT_API_GATEWAY_KEY를 고쳐야 합니다.",
    ),
    # Sessions.
    "sessions_off": Problem(404, "This service keeps no sessions.", "이 서비스는 세션을 저장하지 않습니다."),
    "session_not_found": Problem(404, "You have no session of this name.", "이 이름의 세션이 없습니다."),
    "session_token_unknown": Problem(
        403,
        "No session belongs to this token; it may have expired. Leave the token out to begin a new one.",
        "이 토큰의 세션이 없습니다. 만료되었을 수 있습니다. 토큰 없이 보내면 새로 시작합니다.",
    ),
    "session_token_needed": Problem(
        401,
        "A key or, for an anonymous session, its token is needed: 'X-Session-Token'.",
        "키나, 익명 세션이라면 그 토큰이 필요합니다: 'X-Session-Token'.",
    ),
    "invalid_idempotency_key": Problem(
        400,
        "'Idempotency-Key' is not 1 to 255 visible ASCII characters.",
        "'Idempotency-Key'는 ASCII 문자 1~255자여야 합니다.",
    ),
    "idempotency_needs_session": Problem(
        400,
        "'Idempotency-Key' needs a session that is kept: name a 'session_id', where this service keeps sessions.",
        "'Idempotency-Key'에는 저장되는 세션이 필요합니다. 세션을 저장하는 서비스에서 'session_id'를 지정하십시오.",
    ),
    "idempotency_needs_owner": Problem(
        400,
        "'Idempotency-Key' needs a key, or the token of a session begun with POST /api/v1/sessions.",
        "'Idempotency-Key'에는 키나 POST /api/v1/sessions로 시작한 세션의 토큰이 필요합니다.",
    ),
    "idempotency_key_reused": Problem(
        422,
        "This 'Idempotency-Key' belongs to a turn that asked something else.",
        "이 'Idempotency-Key'는 다른 내용의 요청에 이미 쓰였습니다.",
    ),
    "session_changed": Problem(
        409,
        "Another service added to this session meanwhile; ask again.",
        "그사이 세션이 바뀌었습니다. 다시 요청하십시오.",
    ),
    "sessions_unavailable": Problem(
        503,
        "Sessions cannot be read or written now; this request was not kept.",
        "지금 세션을 읽거나 쓸 수 없습니다. 이 요청은 저장되지 않았습니다.",
    ),
    "free_sessions_full": Problem(
        503,
        "No more sessions are kept for callers without a key; send a key, or ask without 'session_id'.",
        "키 없는 세션을 더 저장할 수 없습니다. 키를 보내거나 'session_id' 없이 요청하십시오.",
    ),
    "sessions_uncertain": Problem(
        503,
        "The sessions did not answer in time, so this request may have been kept. Send it again with the same"
        " 'Idempotency-Key', or look at the session first.",
        "세션 저장소가 제때 답하지 않아 이 요청은 저장되었을 수도 있습니다. 같은 'Idempotency-Key'로 다시 보내거나"
        " 먼저 세션을 확인하십시오.",
    ),
    # The service.
    "queue_full": Problem(
        503, "Too many requests wait; ask again soon.", "대기 중인 요청이 너무 많습니다. 잠시 후 다시 요청하십시오."
    ),
    "internal_error": Problem(
        500, "The service failed; its log has the request's id.", "서비스 오류입니다. 로그에 요청 ID가 있습니다."
    ),
    # The gateway.
    "gateway_unreachable": Problem(503, "The gateway cannot be reached.", "게이트웨이에 연결할 수 없습니다."),
    "gateway_timeout": Problem(504, "The answer did not come in time.", "응답이 제시간에 오지 않았습니다."),
    "gateway_broken_answer": Problem(502, "The answer broke off.", "응답이 중간에 끊겼습니다."),
    "gateway_refused": Problem(400, "The gateway does not take this request.", "게이트웨이가 이 요청을 받지 않습니다."),
    "gateway_failed": Problem(503, "The model's server failed.", "모델 서버에서 오류가 났습니다."),
    "model_not_found": Problem(404, "There is no such model.", "없는 모델입니다."),
    "model_not_allowed": Problem(403, "The key may not ask for this model.", "이 키로는 이 모델을 쓸 수 없습니다."),
    "wrong_model_mode": Problem(400, "This model is not for chat.", "대화용 모델이 아닙니다."),
    "model_loading": Problem(503, "The model is still loading.", "모델을 불러오는 중입니다."),
    "context_length_exceeded": Problem(
        400, "The messages are longer than the model takes.", "메시지가 모델이 받을 수 있는 길이를 넘습니다."
    ),
    "rate_limit_exceeded": Problem(
        429, "A limit is reached; ask again later.", "한도에 도달했습니다. 나중에 다시 요청하십시오."
    ),
    "budget_exceeded": Problem(429, "The key's budget is used up.", "키의 예산을 모두 썼습니다."),
    "model_busy": Problem(503, "The model is busy; ask again soon.", "모델이 바쁩니다. 잠시 후 다시 요청하십시오."),
}

# What pydantic finds wrong with a field, in words; ``{}`` is the bound.
FIELD_WORDS: Final[dict[str, tuple[str, str]]] = {
    "greater_than_equal": ("at least {}", "{} 이상"),
    "less_than_equal": ("at most {}", "{} 이하"),
    "string_too_long": ("at most {} characters", "최대 {}자"),
    "too_long": ("at most {} entries", "최대 {}개"),
    "string_pattern_mismatch": ("letters, digits and . _ : @ ~ -", "문자, 숫자와 . _ : @ ~ -"),
    "string_type": ("a text", "문자열"),
    "int_type": ("a whole number", "정수"),
    "int_parsing": ("a whole number", "정수"),
    "int_from_float": ("a whole number", "정수"),
    "float_type": ("a number", "숫자"),
    "float_parsing": ("a number", "숫자"),
    "finite_number": ("a finite number", "유한한 숫자"),
    "bool_type": ("true or false", "true 또는 false"),
    "bool_parsing": ("true or false", "true 또는 false"),
    "list_type": ("a list", "목록"),
    "missing": ("a value", "값"),
}
