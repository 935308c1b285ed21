//! Headers of ACL 2.0 administration.

use super::headers;

headers! {
    /// Java: `CreateAclRequestHeader`, request 3006.
    CreateAclRequestHeader [request AUTH_CREATE_ACL => ()] {
        subject b"subject": optional text,
    }

    /// Java: `CreateUserRequestHeader`, request 3001.
    CreateUserRequestHeader [request AUTH_CREATE_USER => ()] {
        username b"username": optional text,
    }

    /// Java: `DeleteAclRequestHeader`, request 3008.
    DeleteAclRequestHeader [request AUTH_DELETE_ACL => ()] {
        subject b"subject": optional text,
        policy_type b"policyType": optional text,
        resource b"resource": optional text,
    }

    /// Java: `DeleteUserRequestHeader`, request 3003.
    DeleteUserRequestHeader [request AUTH_DELETE_USER => ()] {
        username b"username": optional text,
    }

    /// Java: `GetAclRequestHeader`, request 3009.
    GetAclRequestHeader [request AUTH_GET_ACL => ()] {
        subject b"subject": optional text,
    }

    /// Java: `GetUserRequestHeader`, request 3004.
    GetUserRequestHeader [request AUTH_GET_USER => ()] {
        username b"username": optional text,
    }

    /// Java: `ListAclsRequestHeader`, request 3010.
    ListAclsRequestHeader [request AUTH_LIST_ACL => ()] {
        subject_filter b"subjectFilter": optional text,
        resource_filter b"resourceFilter": optional text,
    }

    /// Java: `ListUsersRequestHeader`, request 3005.
    ListUsersRequestHeader [request AUTH_LIST_USER => ()] {
        filter b"filter": optional text,
    }

    /// Java: `UpdateAclRequestHeader`, request 3007.
    UpdateAclRequestHeader [request AUTH_UPDATE_ACL => ()] {
        subject b"subject": optional text,
    }

    /// Java: `UpdateUserRequestHeader`, request 3002.
    UpdateUserRequestHeader [request AUTH_UPDATE_USER => ()] {
        username b"username": optional text,
    }
}
